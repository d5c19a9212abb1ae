"""The process-wide limit: order, width, quiet after a refusal, cancels."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest
from engines import wait_until
from pack.nanobanana.calls.limiter import RateLimiter, RateLimiters
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.progress import Progress


class Visitor:
    """One call at the gate, in a thread of its own."""

    def __init__(self, limiter: RateLimiter, ticket: int | None = None) -> None:
        self.limiter = limiter
        self.ticket = limiter.queue() if ticket is None else ticket
        self.cancel = CancelToken()
        self.reports: list[Progress] = []
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.cancelled = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with self.limiter.entered(self.ticket, self.cancel, self.reports.append):
                self.inside.set()
                self.leave.wait(10)
        except Cancelled:
            self.cancelled = True

    def go(self) -> None:
        self.leave.set()
        self.thread.join(10)


def inside(visitors: list[Visitor]) -> list[int]:
    return [number for number, one in enumerate(visitors) if one.inside.is_set() and not one.leave.is_set()]


def arrive(limiter: RateLimiter, count: int) -> list[Visitor]:
    """Visitors that queue in a known order."""
    visitors: list[Visitor] = []
    for number in range(count):
        visitors.append(Visitor(limiter))
        assert wait_until(lambda: visitors[-1].inside.is_set() or visitors[-1].reports), number
    return visitors


def test_only_so_many_are_inside_and_the_rest_follow_in_order() -> None:
    visitors = arrive(RateLimiter(2), 5)
    assert inside(visitors) == [0, 1]
    assert [(one.reports[-1].phase, one.reports[-1].done) for one in visitors[2:]] == [
        ("queued", 1),
        ("queued", 2),
        ("queued", 3),
    ]
    visitors[1].go()
    assert wait_until(lambda: inside(visitors) == [0, 2])
    assert wait_until(lambda: visitors[3].reports[-1].done == 1)
    visitors[0].go()
    assert wait_until(lambda: inside(visitors) == [2, 3])
    for one in visitors:
        one.go()
    assert all(one.inside.is_set() for one in visitors)


def test_a_cancel_leaves_the_queue_at_once_and_makes_room() -> None:
    visitors = arrive(RateLimiter(1), 3)
    began = time.monotonic()
    visitors[1].cancel.cancel()
    visitors[1].thread.join(5)
    assert time.monotonic() - began < 1.0
    assert visitors[1].cancelled
    visitors[0].go()
    assert wait_until(lambda: inside(visitors) == [2])
    visitors[2].go()


def test_a_place_is_given_back_when_the_call_fails() -> None:
    limiter = RateLimiter(1)
    for _ in range(3):
        with pytest.raises(ValueError), limiter.entered(limiter.queue(), CancelToken(), lambda _: None):
            raise ValueError


def test_after_a_refusal_nobody_enters_for_a_while_then_one_and_then_half_as_many() -> None:
    now = [100.0]
    limiter = RateLimiter(4, clock=lambda: now[0])
    limiter.back_off(30)
    visitors = arrive(limiter, 4)
    assert inside(visitors) == []
    assert visitors[0].reports[-1].phase == "pausing"
    assert visitors[0].reports[-1].until == 130.0
    assert "fewer calls" in visitors[0].reports[-1].text
    now[0] = 129.9
    time.sleep(0.12)
    assert inside(visitors) == []
    now[0] = 130.0
    assert wait_until(lambda: inside(visitors) == [0])
    time.sleep(0.12)
    assert inside(visitors) == [0]
    assert limiter.refused_seconds() == 30.0
    limiter.succeeded()
    assert limiter.refused_seconds() == 0.0
    assert wait_until(lambda: inside(visitors) == [0, 1])
    time.sleep(0.12)
    assert inside(visitors) == [0, 1]
    # Every answer lets one more in at once, up to the limit.
    limiter.succeeded()
    assert wait_until(lambda: inside(visitors) == [0, 1, 2])
    limiter.succeeded()
    assert wait_until(lambda: inside(visitors) == [0, 1, 2, 3])
    for one in visitors:
        one.go()


def test_the_longest_quiet_holds_and_one_is_always_let_in() -> None:
    now = [0.0]
    limiter = RateLimiter(2, clock=lambda: now[0])
    for seconds in (10, 3, 5):
        limiter.back_off(seconds)
    visitors = arrive(limiter, 2)
    now[0] = 9.9
    time.sleep(0.12)
    assert inside(visitors) == []
    now[0] = 10.0
    assert wait_until(lambda: inside(visitors) == [0])
    for one in visitors:
        one.go()


def test_it_never_grows_beyond_its_limit() -> None:
    limiter = RateLimiter(2)
    for _ in range(5):
        limiter.succeeded()
    visitors = arrive(limiter, 3)
    assert inside(visitors) == [0, 1]
    for one in visitors:
        one.go()


def test_a_changed_limit_holds_at_once() -> None:
    limiters = RateLimiters()
    limiter = limiters.of("https://a.example", 1)
    visitors = arrive(limiter, 3)
    assert inside(visitors) == [0]
    assert limiters.of("https://a.example", 3) is limiter
    assert wait_until(lambda: inside(visitors) == [0, 1, 2])
    for one in visitors:
        one.go()


def test_profiles_of_one_gateway_with_other_limits_do_not_undo_a_429() -> None:
    limiters = RateLimiters()
    limiters.of("https://a.example", 4).back_off(0)
    limiters.of("https://a.example", 1)
    limiter = limiters.of("https://a.example", 8)
    visitors = arrive(limiter, 4)
    assert inside(visitors) == [0]
    limiter.succeeded()
    assert wait_until(lambda: inside(visitors) == [0, 1])
    limiter.succeeded()
    assert wait_until(lambda: inside(visitors) == [0, 1, 2])
    for one in visitors:
        one.go()


def test_gateways_do_not_wait_for_each_other() -> None:
    limiters = RateLimiters()
    with ExitStack() as held:
        first, second = limiters.of("https://a.example", 1), limiters.of("https://b.example", 1)
        held.enter_context(first.entered(first.queue(), CancelToken(), lambda _: None))
        first.back_off(60)
        held.enter_context(second.entered(second.queue(), CancelToken(), lambda _: None))


def test_a_retried_call_keeps_its_place_before_those_that_came_later() -> None:
    limiter = RateLimiter(1)
    early, late = limiter.queue(), limiter.queue()
    holder = Visitor(limiter)
    assert wait_until(lambda: holder.inside.is_set())
    second = Visitor(limiter, late)
    assert wait_until(lambda: second.reports)
    first = Visitor(limiter, early)
    assert wait_until(lambda: first.reports)
    holder.go()
    assert wait_until(lambda: first.inside.is_set())
    assert not second.inside.is_set()
    first.go()
    second.go()
