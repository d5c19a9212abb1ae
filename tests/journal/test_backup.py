"""A damaged, emptied or deleted history: rebuilt from its second copy, told, and nothing bought in that run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from engines import Bench
from gateway_faults import FaultyGateway
from pack.nanobanana.errors import HistoryError
from pack.nanobanana.journal import Journal

COUNT = 12


def _noise(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(100, len(data), 700):
        data[place : place + 300] = b"\x55" * len(data[place : place + 300])
    path.write_bytes(data)


def _emptied(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("pictures", "urls", "calls"):
            connection.execute(f"DELETE FROM {table}")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": _emptied,
    "no bytes": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": _noise,
    "another file": lambda path: path.write_text("hello " * 2000),
}


@pytest.mark.parametrize(
    ("damage", "while_running"),
    [*((damage, False) for damage in DAMAGES), ("deleted", True), ("emptied", True)],
)
def test_what_was_bought_is_not_bought_again(tmp_path: Path, damage: str, while_running: bool) -> None:
    data = tmp_path / "data"
    with FaultyGateway(latency=0.0) as gateway:
        bench = Bench(data, gateway.base_url)
        for number in range(COUNT):
            assert bench.make(f"cat {number}").error is None
        if not while_running:
            bench.journal.close()
            for ending in ("-wal", "-shm"):
                Path(f"{bench.journal.folder / 'journal.sqlite3'}{ending}").unlink(missing_ok=True)
        DAMAGES[damage](data / "journal.sqlite3")
        if not while_running:
            bench = Bench(data, gateway.base_url)
        if while_running and damage == "emptied":
            # Who empties the tables of an open history is believed until it is opened again.
            bench.journal.close()
        first = bench.make("cat 0", run="run 2")
        new = bench.make("a dog", run="run 2")
        again = bench.make("cat 5", run="run 2")
        assert (first.source, first.billed, len(first.images)) == ("journal", "no", 1)
        assert (again.source, len(again.images)) == ("journal", 1)
        assert isinstance(new.error, HistoryError)
        assert f"{COUNT} calls and {COUNT} images are back" in new.error.message
        assert "Nothing was bought" in new.error.message
        assert len(gateway.ledger.posts) == COUNT
        # Run again: what is missing is bought.
        assert bench.make("a dog", run="run 3").error is None
        assert [bench.make(f"cat {number}", run="run 3").source for number in range(COUNT)] == ["journal"] * COUNT
        assert len(gateway.ledger.posts) == COUNT + 1
        bench.journal.close()


def test_images_whose_history_is_gone_with_its_copy_are_told(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            bench.make()
        for path in tmp_path.glob("journal.sqlite3*"):
            path.unlink()
        (tmp_path / "history.jsonl").unlink()
        with Bench(tmp_path, gateway.base_url) as bench:
            error = bench.make(run="run 2").error
            assert isinstance(error, HistoryError)
            assert "deleted" in error.message
            assert len(gateway.ledger.posts) == 1


def test_a_copy_with_broken_lines_gives_the_others_back(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            for number in range(4):
                bench.make(f"cat {number}")
        copy = tmp_path / "history.jsonl"
        lines = copy.read_bytes().splitlines(keepends=True)
        hostile = [b"[" * 100_000 + b"\n", b"\xff\xfe\n", b'{"calls":[{"id":"x"}]}\n', b'{"calls":7}\n', b"\n"]
        copy.write_bytes(b"".join([*hostile, *lines[:-1], lines[-1][: len(lines[-1]) // 2]]))
        for path in tmp_path.glob("journal.sqlite3*"):
            path.unlink()
        with Journal(tmp_path) as journal:
            assert len(journal.history().calls) >= 3


def test_what_was_cleared_is_in_no_copy(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway, Bench(tmp_path, gateway.base_url) as bench:
        bench.make("a secret cat")
        bench.make("an open dog")
        copy = tmp_path / "history.jsonl"
        assert b"a secret cat" in copy.read_bytes()
        (cat,) = [call.id for call in bench.journal.history().calls if call.details.request.prompt == "a secret cat"]
        bench.journal.clear(calls=[cat])
        assert b"a secret cat" not in copy.read_bytes()
        assert b"an open dog" in copy.read_bytes()
        bench.journal.clear()
        assert copy.read_bytes() == b""
    # An empty history is nothing to be told of.
    with FaultyGateway(latency=0.0) as gateway, Bench(tmp_path, gateway.base_url) as bench:
        assert bench.make("a cow").error is None


def test_a_history_from_before_the_copy_gets_one(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            bench.make()
        copy = tmp_path / "history.jsonl"
        before = [json.loads(line)["calls"][0]["id"] for line in copy.read_bytes().splitlines()]
        copy.unlink()
        with Journal(tmp_path) as journal:
            journal.history()
        assert {json.loads(line)["calls"][0]["id"] for line in copy.read_bytes().splitlines()} == set(before)


def test_the_copy_does_not_grow_without_end(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            for number in range(3):
                bench.make(f"cat {number}")
        copy = tmp_path / "history.jsonl"
        lines = copy.read_bytes().splitlines(keepends=True)
        copy.write_bytes(b"".join(lines * (1 + (4 << 20) // len(b"".join(lines)))))
        (tmp_path / "history.jsonl.part").write_bytes(b"a secret cat that was cleared")
        with Journal(tmp_path) as journal:
            assert len(journal.history().calls) == 3
        assert len(copy.read_bytes().splitlines()) == 3
        assert not (tmp_path / "history.jsonl.part").exists()


def test_an_image_whose_file_is_gone_too_is_not_said_to_be_there(tmp_path: Path) -> None:
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            bench.make("a cat")
            bench.make("a dog")
            (cat,) = [one.images[0] for one in bench.journal.history().calls if one.key.variation == 0][-1:]
        cat.path.unlink()
        for path in tmp_path.glob("journal.sqlite3*"):
            path.unlink()
        with Bench(tmp_path, gateway.base_url) as bench:
            error = bench.make("a cow", run="run 2").error
            assert isinstance(error, HistoryError)
            assert "2 calls and 1 images are back" in error.message
            assert sorted(len(call.images) for call in bench.journal.history().calls) == [0, 1]


def test_a_rebuilt_call_belongs_to_nobody(tmp_path: Path) -> None:
    """A line is written while its process still holds the call; whoever finds it later must not wait for that one."""
    with FaultyGateway(latency=0.0) as gateway:
        with Bench(tmp_path, gateway.base_url) as bench:
            bench.make("a cat")
        copy = tmp_path / "history.jsonl"
        lines = [json.loads(line) for line in copy.read_bytes().splitlines()]
        lines[-1]["calls"][0]["owner"] = "f" * 32
        copy.write_text("".join(json.dumps(line) + "\n" for line in lines))
        for path in tmp_path.glob("journal.sqlite3*"):
            path.unlink()
        with Journal(tmp_path) as journal:
            journal.history()
        with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as connection:
            assert connection.execute("SELECT owner FROM calls").fetchall() == [(None,)]
