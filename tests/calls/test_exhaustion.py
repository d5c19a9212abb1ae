"""What the computer lacks for a while: threads, memory, a history that nobody else has locked."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Bench, wait_until
from gateway_faults import FaultyGateway
from pack.nanobanana.calls import deliver
from pack.nanobanana.calls.models import Outcome
from pack.nanobanana.cancel import CancelToken


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyGateway]:
    monkeypatch.setenv("NO_PROXY", "*")
    with FaultyGateway(latency=0.0) as running:
        yield running


@pytest.mark.parametrize("fault", ["", "shape_markdown_data"])
@pytest.mark.parametrize("lacks", ["-call", "-resolve", "-silence", "-imaging", "-background", ""])
def test_out_of_threads_nothing_is_lost_and_nothing_bought_again(
    tmp_path: Path, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch, lacks: str, fault: str
) -> None:
    gateway.set_faults([fault] if fault else [])
    start = threading.Thread.start

    def fails(self: threading.Thread) -> None:
        call = self.name.startswith("nanobanana-call")
        ours = self.name.startswith("nanobanana") or isinstance(self, threading.Timer)
        # Without a name: none is left but the call's own.
        if self.name.startswith(f"nanobanana{lacks}") if lacks else ours and not call:
            raise RuntimeError("can't start new thread")
        start(self)

    with Bench(tmp_path, gateway.base_url) as bench:
        with monkeypatch.context() as exhausted:
            exhausted.setattr(threading.Thread, "start", fails)
            outcome = bench.make(want_float=True)
        posts = len(gateway.ledger.posts)
        if outcome.images:
            assert posts == 1
        else:
            assert lacks in ("-call", "-resolve", "")
            assert "can't start any more threads" in str(outcome.error)
            assert (posts, outcome.billed) == (0, "no")
        assert bench.make(run="run 2").images
        assert len(gateway.ledger.posts) == 1


def test_a_log_that_raises_costs_no_outcome(tmp_path: Path, gateway: FaultyGateway) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise UnicodeEncodeError("cp1252", record.getMessage(), 0, 1, "the console lacks it")

    def convert(_: Outcome) -> None:
        raise RuntimeError("a mistake of ours")

    handler = Broken()
    logging.getLogger().addHandler(handler)
    try:
        with Bench(tmp_path, gateway.base_url) as bench:
            call = bench.engine.start(bench.order(), 0, CancelToken(), convert=convert)
            assert wait_until(lambda: call.done)
            assert call.outcome is not None
            assert "RuntimeError" in str(call.outcome.error)
            assert call.outcome.billed == "yes"
    finally:
        logging.getLogger().removeHandler(handler)


def test_without_memory_for_the_tensor_what_was_paid_for_comes_from_the_history(
    tmp_path: Path, gateway: FaultyGateway
) -> None:
    def convert(_: Outcome) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with Bench(tmp_path, gateway.base_url) as bench:
        call = bench.engine.start(bench.order(), 0, CancelToken(), convert=convert)
        assert wait_until(lambda: call.done)
        assert call.outcome is not None
        assert "too little memory" in str(call.outcome.error)
        assert "was billed" in str(call.outcome.error)
        assert call.outcome.billed == "yes"
        assert bench.make(run="run 2").source == "journal"
        assert len(gateway.ledger.posts) == 1


@pytest.mark.parametrize("fault", ["", "shape_markdown_data", "shape_images_data"])
def test_a_history_that_is_locked_for_a_while_gets_the_image_all_the_same(
    tmp_path: Path, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    gateway.set_faults([*([fault] if fault else []), "latency:0.3"])
    with Bench(tmp_path, gateway.base_url) as bench:
        assert bench.make("a first call").images
        bench.journal._database._busy_seconds = 0.05  # SQLite's own wait is 15 seconds
        bench.journal.close()
        call = bench.start()
        assert gateway.ledger.wait_for(lambda ledger: len(ledger.posts) == 2, 5.0)
        other = sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert wait_until(lambda: "locked" in call.report.text)
        assert not call.done
        other.execute("ROLLBACK")
        other.close()
        assert wait_until(lambda: call.done)
        assert call.outcome is not None
        assert (call.outcome.error, call.outcome.warnings) == (None, ())
        assert bench.states() == [("kept", "yes")] * 2
        assert bench.make(run="run 2").source == "journal"
        assert len(gateway.ledger.posts) == 2


def test_a_history_that_stays_locked_gives_the_image_with_a_warning(
    tmp_path: Path, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_LOCKED_SECONDS", 0.3)
    gateway.set_faults(["shape_markdown_data", "latency:0.3"])
    with Bench(tmp_path, gateway.base_url) as bench:
        assert bench.make("a first call").images
        bench.journal._database._busy_seconds = 0.05
        bench.journal.close()
        call = bench.start()
        assert gateway.ledger.wait_for(lambda ledger: len(ledger.posts) == 2, 5.0)
        other = sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert wait_until(lambda: call.done)
        other.close()
        assert call.outcome is not None
        assert len(call.outcome.images) == 1
        assert any("could not be saved" in warning and "locked" in warning for warning in call.outcome.warnings)
