"""Processes that are killed, and folders that are copied, at every step of a call."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.journal import CallKey, Claim, Journal

pytestmark = pytest.mark.slow

# Where the other process stands -> what the next one finds, and whether it says that an earlier call was made.
FOUND = {
    "claimed": ("ask", False),
    "sent": ("ask", True),
    "posted": ("ask", True),
    "url": ("answered", False),
    "answered": ("answered", False),
    "keep": ("answered", False),
    "kept": ("kept", False),
}


def image(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest() * 3000


def log_of(tmp_path: Path, what: str = "") -> list[list[str]]:
    log = tmp_path / "posts.log"
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if what in ("", line[0])]


def wait_for_lines(tmp_path: Path, count: int, what: str = "") -> None:
    """Wait until the workers have got on: a time to sleep would mean something else on every machine."""
    end = time.monotonic() + 60
    while len(log_of(tmp_path, what)) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def next_claim(journal: Journal, details, run: str = "run 2") -> Claim:
    return journal.claim(CallKey("a", 0), details, cancel=CancelToken(), on_wait=lambda words: None, run=run)


def check(claim: Claim, journal: Journal, step: str) -> None:
    what, earlier = FOUND[step]
    assert claim.what == what
    if what == "answered":
        assert claim.record.urls == ("https://cdn/a",)
    if step in ("keep", "kept"):
        assert [journal.read(one) for one in claim.record.images] == [image("a")]
    assert (claim.earlier is not None) == earlier
    if claim.earlier is not None:
        assert (claim.earlier.state, claim.earlier.billed) == ("failed", "maybe")
        assert claim.earlier.error == "ComfyUI ended before the answer came."


@pytest.mark.parametrize("step", FOUND)
def test_killed_at_a_step_the_next_run_goes_on_from_there(tmp_path, worker, details, step):
    dead = worker("die", step, "a", "run 1")
    assert dead.line() == step
    assert dead.wait() == -9
    with Journal(tmp_path / "data") as journal:
        check(next_claim(journal, details), journal, step)
        # What was never sent leaves no second row behind.
        assert len(journal.history().calls) == (2 if FOUND[step][1] else 1)
        with closing(sqlite3.connect(tmp_path / "data" / "journal.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not list((tmp_path / "data" / "pictures").glob("*.part"))


@pytest.mark.parametrize("step", FOUND)
def test_a_copy_of_the_folder_taken_at_a_step_goes_on_from_there(tmp_path, worker, details, step):
    alive = worker("stop", step, "a", "run 1")
    assert alive.line() == step
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with Journal(tmp_path / "copy") as journal:
        check(next_claim(journal, details), journal, step)


@pytest.mark.parametrize("step", ["posted", "url", "keep"])
def test_a_torn_copy_opens(tmp_path, worker, details, step):
    """The end of the database's log is missing: an older state, and never a broken one."""
    alive = worker("stop", step, "a", "run 1")
    assert alive.line() == step
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "data", copy)
    log = copy / "journal.sqlite3-wal"
    whole = log.read_bytes()
    for kept in (len(whole) - 100, len(whole) // 2, 40, 0):
        shutil.rmtree(copy)
        shutil.copytree(tmp_path / "data", copy)
        log.write_bytes(whole[:kept])
        with Journal(copy) as journal:
            assert next_claim(journal, details).what in ("ask", "answered", "kept")
    assert not list(copy.glob("*.damaged*"))


def copied_live(source: Path, target: Path) -> None:
    """A copy as a person makes it: file after file while they change, some of them gone before their turn."""

    def copy(one: str, other: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copy(one, other)

    shutil.copytree(source, target, copy_function=copy)


def test_copies_taken_while_calls_run_know_every_call_that_was_answered(tmp_path, worker, details):
    count = 60
    running = [worker("loop", f"run {number}", str(count)) for number in range(2)]
    for number in range(6):
        wait_for_lines(tmp_path, 20 * (number + 1))
        answered = [line[1] for line in log_of(tmp_path) if line[0] == "URL"]
        copy = tmp_path / f"copy{number}"
        copied_live(tmp_path / "data", copy)
        with Journal(copy) as journal:
            found = {
                name: journal.claim(
                    CallKey(name, 0), details, cancel=CancelToken(), on_wait=lambda words: None, run="copy"
                ).what
                for name in answered
            }
        assert {name for name, what in found.items() if what not in ("answered", "kept")} == set()
        assert not list(copy.glob("*.damaged*"))
    assert [one.wait() for one in running] == [0, 0]


def test_the_next_process_takes_over_soon_after_a_kill(tmp_path, worker, details):
    seconds: list[float] = []
    for attempt in range(3):  # a busy machine may be late once
        first = worker("stop", "posted", "a", f"run {attempt}", folder=tmp_path / str(attempt))
        assert first.line() == "posted"
        with Journal(tmp_path / str(attempt)) as journal:
            killed: list[float] = []

            def kill(words: str, first=first, killed=killed) -> None:
                time.sleep(0.25)
                first.kill()
                killed.append(time.monotonic())

            claim = journal.claim(CallKey("a", 0), details, cancel=CancelToken(), on_wait=kill, run="next")
            seconds.append(time.monotonic() - killed[0])
            # It was queued before anybody could know of the failure, so it isn't asked for anew on its own.
            assert (claim.what, claim.record.billed) == ("failed", "maybe")
            assert not claim.owned
            again = journal.claim(CallKey("a", 0), details, cancel=CancelToken(), on_wait=kill, run="a person's")
            check(again, journal, "posted")
    assert min(seconds) < 1.0


def test_what_a_person_queues_after_a_crash_is_asked_anew(tmp_path, worker, details):
    first = worker("stop", "posted", "a", "run 1")
    assert first.line() == "posted"
    first.kill()
    with Journal(tmp_path / "data") as journal:
        queued = replace(details, queued_at=time.time())
        time.sleep(0.05)  # until ComfyUI has come to it
        claim = journal.claim(CallKey("a", 0), queued, cancel=CancelToken(), on_wait=lambda _: None, run="run 2")
        check(claim, journal, "posted")


def test_a_second_process_waits_for_the_first_ones_image(tmp_path, worker):
    first = worker("stop", "posted", "a", "run 1")
    assert first.line() == "posted"
    second = worker("stop", "none", "a", "run 2")
    time.sleep(0.6)
    assert [line[0] for line in log_of(tmp_path)] == ["POST"]
    first.go_on()
    assert first.wait() == second.wait() == 0
    assert [line[:2] for line in log_of(tmp_path)][:3] == [["POST", "a"], ["URL", "a"], ["DONE", "a"]]
    assert log_of(tmp_path)[-1] == ["DONE", "a", str(second.pid), "kept"]


def test_processes_killed_at_random_lose_nothing_and_ask_nothing_twice(tmp_path, worker):
    """Three processes at the same calls; the one that is asking is killed, and another begun in its place."""
    chance = random.Random(20260)
    log = tmp_path / "posts.log"
    count = 40
    running = [worker("loop", f"run {number}", str(count)) for number in range(3)]
    for number in range(3, 15):
        wait_for_lines(tmp_path, len(log_of(tmp_path, "POST")) + chance.randint(1, 2), "POST")
        time.sleep(chance.uniform(0, 0.012))
        poster = int(log_of(tmp_path, "POST")[-1][2])
        victim = next((one for one in running if one.pid == poster), running[0])
        running.remove(victim)
        with log.open("a") as lines:
            lines.write(f"KILL - {victim.pid}\n")
        victim.kill()
        running.append(worker("loop", f"run {number}", str(count)))
    assert [one.wait() for one in running] == [0, 0, 0]

    killed: set[str] = set()
    posting: dict[str, str] = {}
    answered: set[str] = set()
    for what, name, process, *_ in log_of(tmp_path):
        if what == "KILL":
            killed.add(process)
        elif what == "POST":
            assert name not in answered, f"{name} was asked for again though its address was in the journal"
            assert posting.get(name) is None or posting[name] in killed, f"{name} was asked for twice at once"
            posting[name] = process
        elif what == "URL":
            answered.add(name)
    assert len(killed) == 12
    with Journal(tmp_path / "data") as journal:
        calls = journal.history(limit=500).calls
        kept = {call.details.request.prompt: call for call in calls if call.state == "kept"}
        assert len(kept) == count
        for name, call in kept.items():
            assert [journal.read(one) for one in call.images] == [image(name)]
        # Every post that brought nothing is told to the person, and no other.
        in_vain = [call for call in calls if call.state == "failed"]
        assert {call.billed for call in in_vain} <= {"maybe"}
        assert len(in_vain) >= len(log_of(tmp_path, "POST")) - count
        assert not list((tmp_path / "data").glob("*.damaged*"))
