"""Cancellation and deadlines, passed as arguments to everything that waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Clock = Callable[[], float]


class Cancelled(Exception):
    """The person (or the host) asked to stop. Not an error: it never reaches the error tree."""


class CancelToken:
    """One flag that many threads watch; `cancel` also runs the callbacks that wake blocked sockets.

    `drop` cancels only what hasn't begun to cost money: nothing between `commit` and `revert`. A token with a `parent`
    is cancelled and dropped with it, also if that has happened already. A callback runs once, in the thread that
    cancels, or at once if it is too late for that. Callbacks must be quick and must not raise.
    """

    def __init__(self, parent: CancelToken | None = None) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._committed = False
        self._dropped = False
        self._when_dropped: list[Callable[[], None]] = []
        if parent is not None:
            parent.on_drop(self.drop)
            parent.on_cancel(self.cancel)

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    @property
    def committed(self) -> bool:
        """Whether something that costs money has begun."""
        return self._committed

    def cancel(self) -> None:
        """Set the flag and run every registered callback once."""
        with self._lock:
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def commit(self) -> None:
        """From here on it costs money, and `drop` leaves it alone. Raises `Cancelled` if it is too late to begin."""
        with self._lock:
            if self._event.is_set():
                raise Cancelled
            self._committed = True

    def revert(self) -> None:
        """What was begun has cost nothing, and would be begun anew: a `drop` in between takes effect now."""
        with self._lock:
            self._committed = False
            dropped = self._dropped
        if dropped:
            self.cancel()

    def drop(self) -> None:
        """Cancel, unless it costs money already."""
        with self._lock:
            self._dropped = True
            committed = self._committed
            callbacks, self._when_dropped = self._when_dropped, []
        for callback in callbacks:
            callback()
        if not committed:
            self.cancel()

    def on_drop(self, callback: Callable[[], None]) -> None:
        """Run `callback` once at a `drop`, or at once after one."""
        with self._lock:
            if not self._dropped:
                self._when_dropped.append(callback)
                return
        callback()

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Register `callback`; returns the function that unregisters it."""
        with self._lock:
            if not self._event.is_set():
                number = self._next
                self._next += 1
                self._callbacks[number] = callback
                return lambda: self._forget(number)
        callback()
        return lambda: None

    def _forget(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)

    def wait(self, seconds: float) -> None:
        """Sleep `seconds`; raises `Cancelled` the moment the token is cancelled."""
        if self._event.wait(max(0.0, seconds)):
            raise Cancelled

    def check(self) -> None:
        """Raise `Cancelled` if the token is cancelled."""
        if self._event.is_set():
            raise Cancelled


class Deadline:
    """A point in time, in seconds of `clock` (monotonic), after which waiting ends."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.seconds = seconds
        self._end = clock() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - self._clock())

    @property
    def passed(self) -> bool:
        return self._clock() >= self._end
