"""The process-wide limit: how many calls run at once against one gateway, and when it wants a pause."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator

from ..cancel import CancelToken, Clock
from ..progress import Progress, ReportProgress

# A waiting call checks this often whether it was cancelled, and reports its place in the queue when that changes.
_POLL_SECONDS = 0.05


class RateLimiter:
    """First come, first served; at most `limit` inside. A 429 closes it for everyone and halves it.

    Then one call alone finds out whether the gateway takes calls again, so the others don't use up their tries. Each
    call that succeeds afterwards lets one more in, up to the limit: gateways limit by rate, so the concurrency that was
    refused would only be refused again.
    """

    def __init__(self, limit: int, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._limit = limit
        # How many calls the 429s leave room for, apart from the limit, which differs between profiles of one gateway.
        self._allowed: float = math.inf
        self._inside = 0
        self._waiting: list[int] = []
        self._next_ticket = 0
        self._closed_until = 0.0
        # When the first of the refusals came that no success has followed.
        self._refused_at: float | None = None

    def set_limit(self, limit: int) -> None:
        """Follow a change of the settings."""
        with self._changed:
            if limit != self._limit:
                self._limit = limit
                self._changed.notify_all()

    def queue(self) -> int:
        """A place in the queue, kept across a call's retries."""
        with self._changed:
            self._next_ticket += 1
            return self._next_ticket

    @contextlib.contextmanager
    def entered(self, ticket: int, cancel: CancelToken, report: ReportProgress) -> Generator[None]:
        """Wait for `ticket`'s turn, then hold one place. Raises `Cancelled` while waiting.

        A call that goes on after its graph has ended gives its place to the next graph's.
        """
        self._enter(ticket, cancel, report)
        left = False

        def leave() -> None:
            nonlocal left
            with self._changed:
                self._inside -= not left
                left = True
                self._changed.notify_all()

        cancel.on_drop(leave)
        try:
            yield
        finally:
            leave()

    def _enter(self, ticket: int, cancel: CancelToken, report: ReportProgress) -> None:
        said: tuple[int, int, bool] | None = None
        with self._changed:
            self._waiting.append(ticket)
            self._waiting.sort()
        try:
            while True:
                cancel.check()
                with self._changed:
                    place = self._waiting.index(ticket) + 1
                    closed = self._closed_until - self._clock()
                    if closed <= 0 and place <= self._room():
                        self._inside += 1
                        return
                    now = (place, len(self._waiting), closed > 0)
                    until = self._closed_until
                if now != said:
                    said = now
                    report(_waiting_report(now, until))
                with self._changed:
                    self._changed.wait(_POLL_SECONDS)
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _room(self) -> float:
        if self._refused_at is not None:
            return 1 - self._inside
        return min(self._limit, self._allowed) - self._inside

    def back_off(self, seconds: float) -> None:
        """The gateway refused a call for now: nobody enters for `seconds`, then one, then half as many as before.

        Refusals that come together count as one.
        """
        with self._changed:
            now = self._clock()
            self._closed_until = max(self._closed_until, now + seconds)
            if self._refused_at is None:
                self._refused_at = now
                self._allowed = max(1, min(self._limit, self._allowed) // 2)

    def refused_seconds(self) -> float:
        """For how long the gateway has refused every call."""
        with self._changed:
            return 0.0 if self._refused_at is None else self._clock() - self._refused_at

    def succeeded(self) -> None:
        """A call was answered: let one more in at once, up to the limit."""
        with self._changed:
            self._allowed += self._refused_at is None
            self._refused_at = None
            self._changed.notify_all()


def _waiting_report(now: tuple[int, int, bool], until: float) -> Progress:
    place, waiting, closed = now
    if closed:
        return Progress("pausing", place, waiting, text="the gateway asked for fewer calls", until=until)
    return Progress("queued", place, waiting)


class RateLimiters:
    """One limiter for each gateway that the process talks to."""

    def __init__(self, make: Callable[[int], RateLimiter] = RateLimiter) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._limiters: dict[str, RateLimiter] = {}

    def of(self, base_url: str, limit: int) -> RateLimiter:
        """The gateway's limiter, from now on with this limit."""
        with self._lock:
            limiter = self._limiters.setdefault(base_url, self._make(limit))
        limiter.set_limit(limit)
        return limiter
