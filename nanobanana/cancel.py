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

    A callback runs once, in the thread that cancels, or at once if the token is already cancelled.
    Callbacks must be quick and must not raise.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        """Set the flag and run every registered callback once."""
        with self._lock:
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
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
