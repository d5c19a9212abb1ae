"""Work on several cores, in daemon threads of our own: nothing waits for them when the host goes down."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from ..cancel import CancelToken

T = TypeVar("T")


def core_count() -> int:
    """Cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Sharing:
    """Counts who shares the cores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def come(self) -> int:
        with self._lock:
            self._count += 1
            return self._count

    def leave(self) -> None:
        with self._lock:
            self._count -= 1


_sharing = _Sharing()


@contextmanager
def share_of_cores() -> Generator[int]:
    """How many cores to use for one of several like pieces of work that are under way in this process: at least 1.

    Where each has work for all cores, threads would only be in each other's way.
    """
    try:
        yield max(1, core_count() // _sharing.come())
    finally:
        _sharing.leave()


class _Run(Generic[T]):
    """One list of jobs being worked off by several threads, first come first served."""

    def __init__(self, jobs: Sequence[Callable[[], T]], cancel: CancelToken) -> None:
        self._jobs = jobs
        self._cancel = cancel
        self._lock = threading.Lock()
        self._next = 0
        self.results: dict[int, T] = {}
        self.error: BaseException | None = None

    def _take(self) -> int | None:
        with self._lock:
            if self.error is not None or self._next == len(self._jobs):
                return None
            self._next += 1
            return self._next - 1

    def work(self) -> None:
        """Do jobs until none is left or one has failed; the first failure is kept for the caller."""
        while (number := self._take()) is not None:
            try:
                self._cancel.check()
                self.results[number] = self._jobs[number]()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that called run_all
                with self._lock:
                    if self.error is None:
                        self.error = error


def run_all(jobs: Sequence[Callable[[], T]], workers: int, cancel: CancelToken) -> list[T]:
    """The results of `jobs` in order, worked off by the calling thread and up to `workers` - 1 further ones.

    Jobs start in order. The first exception of any job (or `Cancelled`) stops the rest and is raised here. All
    threads have ended when this returns or raises.
    """
    run = _Run(jobs, cancel)
    threads = [
        threading.Thread(target=run.work, name="nanobanana-imaging", daemon=True)
        for _ in range(min(workers, len(jobs)) - 1)
    ]
    for thread in threads:
        thread.start()
    run.work()
    for thread in threads:
        thread.join()
    if run.error is not None:
        raise run.error
    return [run.results[number] for number in range(len(jobs))]
