"""A journal in a folder of its own, and the steps that most of its tests begin with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.image_request import ImageRequest
from pack.nanobanana.journal import CallDetails, CallKey, Claim, Journal

WORKER = Path(__file__).with_name("worker.py")

DETAILS = CallDetails(
    ImageRequest("NanoBananaPro-1K", "a lighthouse in fog", "1:1", "png", seed=7),
    dialect="documented",
    profile="default",
    base_url="https://gateway.example",
    inputs=2,
    cost=0.25,
)


class Steps:
    """A journal and the ways of a call through it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def claim(
        self,
        name: str = "a",
        *,
        run: str = "run 1",
        variation: int = 0,
        details: CallDetails = DETAILS,
        cancel: CancelToken | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Claim:
        return self.journal.claim(
            CallKey(name, variation),
            details,
            cancel=cancel or CancelToken(),
            on_wait=on_wait or (lambda words: None),
            run=run,
        )

    def ask(self, name: str = "a", *, run: str = "run 1", details: CallDetails = DETAILS) -> int:
        claim = self.claim(name, run=run, details=details)
        assert claim.what == "ask"
        return claim.record.id

    def send(self, name: str = "a", *, run: str = "run 1") -> int:
        call = self.ask(name, run=run)
        self.journal.sent(call)
        return call

    def answer(self, name: str = "a", *, url: str = "https://cdn.example/1.png") -> int:
        call = self.send(name)
        if url:
            self.journal.url(call, 0, url)
        self.journal.answered(call, request_id="req-1", text="Here it is.")
        return call

    def make(
        self,
        name: str = "a",
        data: bytes = b"picture",
        *,
        details: CallDetails = DETAILS,
        url: str = "u",
        run: str = "run 1",
    ) -> int:
        call = self.ask(name, run=run, details=details)
        self.journal.sent(call)
        if url:
            self.journal.url(call, 0, url)
        self.journal.answered(call, request_id="req-1")
        self.journal.keep(call, 0, data, extension="png", url=url)
        self.journal.kept(call, seconds=1.5)
        return call


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "data") as journal:
        yield journal


@pytest.fixture
def steps(journal: Journal) -> Steps:
    return Steps(journal)


@pytest.fixture
def make_steps() -> Iterator[Callable[..., Steps]]:
    """`make_steps(folder, **arguments of Journal)`; its journals are closed at the end."""
    journals: list[Journal] = []

    def make(folder: Path, **arguments: Any) -> Steps:
        journals.append(Journal(folder, **arguments))
        return Steps(journals[-1])

    yield make
    for one in journals:
        one.close()


class Worker:
    """Another process that takes a call through its steps, up to the one named, and waits or dies there."""

    def __init__(self, folder: Path, log: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), str(log), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("COV_")},
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let a process go on that stopped at its step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        return self._process.wait(30)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers on the folder of `journal`; their posts are lines of `posts.log`."""
    started: list[Worker] = []

    def start(*arguments: str, folder: Path | None = None) -> Worker:
        started.append(Worker(folder or tmp_path / "data", tmp_path / "posts.log", *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="session")
def details() -> CallDetails:
    return DETAILS
