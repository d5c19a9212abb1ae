"""Work on several cores in our own daemon threads, and single flight: what several calls need is made once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from ..cancel import Cancelled, CancelToken

T = TypeVar("T")

_POLL_SECONDS = 0.05


def core_count() -> int:
    """Cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Run(Generic[T]):
    """One list of jobs shared by several threads, first come first served."""

    def __init__(self, jobs: Sequence[Callable[[], T]], cancel: CancelToken | None) -> None:
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
                if self._cancel is not None:
                    self._cancel.check()
                self.results[number] = self._jobs[number]()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that called run_all
                with self._lock:
                    if self.error is None:
                        self.error = error


def run_all(
    jobs: Sequence[Callable[[], T]], *, workers: int | None = None, cancel: CancelToken | None = None
) -> list[T]:
    """The results of `jobs` in order, done by the calling thread and up to `workers` - 1 others (default: all cores).

    Jobs start in order. The first exception of any job (or `Cancelled`) stops the rest and is raised here. All
    threads have ended when this returns or raises.
    """
    run = _Run(jobs, cancel)
    threads = [
        threading.Thread(target=run.work, name="nanobanana-imaging", daemon=True)
        for _ in range(min(workers or core_count(), len(jobs)) - 1)
    ]
    for thread in threads:
        thread.start()
    run.work()
    for thread in threads:
        thread.join()
    if run.error is not None:
        raise run.error
    return [run.results[number] for number in range(len(jobs))]


class _Pending(Generic[T]):
    """A result being made. Once `done` is set, `made` holds it, or is empty and `error` says why."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.made: list[T] = []
        self.error: BaseException | None = None


class SingleFlight(Generic[T]):
    """Values by key, each made once; the least recently used are dropped once their weights exceed `most`. Thread-safe.

    Whoever asks for a value while it is being made waits for it.
    """

    def __init__(self, most: int, weight: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._weight = weight
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._pending: dict[Hashable, _Pending[T]] = {}
        self._total = 0

    def get(self, key: Hashable, make: Callable[[], T], cancel: CancelToken) -> T:
        """The value of `key`, from `make` if nobody has made it yet.

        An error of `make` is raised to everyone who waited, except `Cancelled`: that concerns the maker alone, and one
        of those who waited makes the value instead. Raises `Cancelled` if `cancel` is cancelled while waiting.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
                pending = self._pending.get(key)
                if pending is None:
                    mine = self._pending[key] = _Pending[T]()
                    break
            while not pending.done.wait(_POLL_SECONDS):
                cancel.check()
            if pending.made:
                return pending.made[0]
            if pending.error is not None and not isinstance(pending.error, Cancelled):
                raise pending.error
        return self._make(key, mine, make)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._total = 0

    def _make(self, key: Hashable, mine: _Pending[T], make: Callable[[], T]) -> T:
        try:
            value = make()
            mine.made.append(value)
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._pending[key]
                for made in mine.made:
                    self._store(key, made)
            mine.done.set()
        return value

    def _store(self, key: Hashable, value: T) -> None:
        weight = self._weight(value)
        if weight > self._most:
            return
        self._values[key] = value
        self._total += weight
        while self._total > self._most:
            _, dropped = self._values.popitem(last=False)
            self._total -= self._weight(dropped)
