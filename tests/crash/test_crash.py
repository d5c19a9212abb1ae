"""ComfyUI is killed, its folder copied, its disk filled, at every step of a whole call; then someone runs again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import Bench
from gateway_faults import FaultyGateway

WORKER = Path(__file__).with_name("worker.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="SIGKILL and resource limits are POSIX"),
]


class Worker:
    def __init__(self, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def report(self) -> dict[str, Any]:
        return json.loads(self.line())

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


Start = Callable[..., Worker]


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as simulator:
        yield simulator


@pytest.fixture
def start(gateway: FaultyGateway, tmp_path: Path) -> Iterator[Start]:
    """`start(step, then, run)` begins another process on `tmp_path`/data."""
    started: list[Worker] = []

    def begin(step: str, then: str, run: str = "run 1", prompt: str = "a cat") -> Worker:
        started.append(Worker(str(tmp_path / "data"), gateway.base_url, step, then, run, prompt))
        return started[-1]

    yield begin
    for one in started:
        one.close()


@pytest.fixture
def reopen(gateway: FaultyGateway, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    opened: list[Bench] = []

    def open_one(folder: str = "data") -> Bench:
        opened.append(Bench(tmp_path / folder, gateway.base_url, total_timeout=20.0, connect_timeout=5.0))
        return opened[-1]

    yield open_one
    for one in opened:
        one.journal.close()


# step -> POSTs of the next run, whether it says that an earlier call may have been billed, where its image is from.
AFTER = {
    "asked": (1, False, "gateway"),
    "sent": (1, True, "gateway"),
    "url": (0, False, "journal"),
    "answered": (0, False, "journal"),
    "keep": (0, False, "journal"),
    "kept": (0, False, "journal"),
}
# What the gateway had seen by then: at "sent" not a byte of the request has left.
POSTED = {"asked": 0, "sent": 0}


def check_next_run(bench: Bench, gateway: FaultyGateway, step: str) -> None:
    posts, warned, source = AFTER[step]
    before, downloads = len(gateway.ledger.posts), len(gateway.ledger.downloads)
    outcome = bench.make(run="run 2")
    assert outcome.error is None
    assert len(outcome.images) == 1
    assert outcome.source == source
    assert len(gateway.ledger.posts) - before == posts
    assert any("may have been billed" in warning for warning in outcome.warnings) == warned
    assert len(gateway.ledger.downloads) - downloads == (0 if step in ("keep", "kept") else 1)
    assert not list((bench.journal.folder / "pictures").glob("*.part"))
    # And from then on it is there.
    assert bench.make(run="run 3").source == "journal"
    assert len(gateway.ledger.posts) - before == posts


@pytest.mark.parametrize("step", AFTER)
def test_killed_at_a_step_the_next_process_goes_on_from_there(
    step: str, start: Start, gateway: FaultyGateway, reopen: Callable[..., Bench]
) -> None:
    dead = start(step, "die")
    assert dead.line() == step
    assert dead.process.wait(20) == -signal.SIGKILL
    assert len(gateway.ledger.posts) == POSTED.get(step, 1)
    check_next_run(reopen(), gateway, step)


@pytest.mark.parametrize("step", AFTER)
def test_a_copy_of_the_folder_taken_at_a_step_goes_on_from_there(
    step: str, start: Start, gateway: FaultyGateway, reopen: Callable[..., Bench], tmp_path: Path
) -> None:
    """The disk after a power cut, as far as a copy can show it."""
    alive = start(step, "wait")
    assert alive.line() == step
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    alive.kill()
    check_next_run(reopen("copy"), gateway, step)


def test_a_kill_while_the_gateway_works_is_told_and_not_repeated_within_the_run(
    start: Start, gateway: FaultyGateway, reopen: Callable[..., Bench]
) -> None:
    gateway.set_faults("hang_before_headers")
    worker = start("none", "wait")
    assert gateway.ledger.wait_for(lambda ledger: ledger.billed, 20)
    worker.kill()
    gateway.set_faults(None)
    bench = reopen()
    same_run = bench.make(run="run 1")
    assert same_run.billed == "maybe"
    assert len(gateway.ledger.posts) == 1
    again = bench.make(run="run 2")
    assert again.images
    assert "An earlier call for this image, on " in again.warnings[0]
    assert "may have been billed" in again.warnings[0]


def test_a_second_process_waits_and_takes_over_when_the_first_one_dies(start: Start, gateway: FaultyGateway) -> None:
    first = start("url", "wait")
    assert first.line() == "url"
    second = start("none", "wait", "run 2")
    time.sleep(1.2)
    assert second.process.poll() is None
    assert (len(gateway.ledger.posts), len(gateway.ledger.downloads)) == (1, 0)
    killed = time.time()
    first.kill()
    report = second.report()
    assert (report["pictures"], report["source"], report["error"]) == (1, "journal", "")
    # A tenth of a second to notice, and the download; the rest is room for a machine under load.
    assert report["ended"] - killed < 6.0
    assert len(gateway.ledger.posts) == 1


def test_a_second_process_gets_the_first_ones_image(start: Start, gateway: FaultyGateway) -> None:
    first = start("answered", "wait")
    assert first.line() == "answered"
    second = start("none", "wait", "run 2")
    time.sleep(0.5)
    first.go_on()
    assert first.report()["source"] == "gateway"
    assert second.report()["source"] == "journal"
    assert len(gateway.ledger.posts) == 1
    assert len(gateway.ledger.downloads) == 1


@pytest.mark.parametrize("shape", ["shape_documented", "shape_markdown_data"])
def test_a_disk_that_fills_up_with_the_image(
    start: Start, gateway: FaultyGateway, reopen: Callable[..., Bench], shape: str
) -> None:
    gateway.set_faults([shape, "picture_bmp"])
    # The database fits below the limit, a bitmap of 768 KB does not.
    report = start("500000", "limit").report()
    assert report["pictures"] == 1
    assert "could not be saved on disk" in report["warnings"][0]
    assert "full" in report["warnings"][0]
    gateway.set_faults(None)
    again = reopen().make(run="run 2")
    assert again.error is None
    assert len(again.images) == 1
    # An address is downloaded again; an inline image that never reached the disk is asked for again, and so told.
    inline = shape == "shape_markdown_data"
    assert len(gateway.ledger.posts) == (2 if inline else 1)
    assert any("An earlier call" in warning and "was billed" in warning for warning in again.warnings) == inline


def test_a_disk_that_is_full_from_the_start_sends_nothing(start: Start, gateway: FaultyGateway) -> None:
    report = start("1000", "limit").report()
    assert report["pictures"] == 0
    assert "full" in report["error"]
    assert gateway.ledger.posts == []
