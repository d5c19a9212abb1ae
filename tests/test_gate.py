"""The process-wide limit: order, width, quiet after a refusal, cancels."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.gate import Gate, Gates
from pack.nanobanana.report import Report
from studios import wait_until


class Visitor:
    """One call at the gate, in a thread of its own."""

    def __init__(self, gate: Gate, ticket: int | None = None) -> None:
        self.gate = gate
        self.ticket = gate.ticket() if ticket is None else ticket
        self.cancel = CancelToken()
        self.reports: list[Report] = []
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.cancelled = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with self.gate.entered(self.ticket, self.cancel, self.reports.append):
                self.inside.set()
                self.leave.wait(10)
        except Cancelled:
            self.cancelled = True

    def go(self) -> None:
        self.leave.set()
        self.thread.join(10)


def inside(visitors: list[Visitor]) -> list[int]:
    return [number for number, one in enumerate(visitors) if one.inside.is_set() and not one.leave.is_set()]


def arrive(gate: Gate, count: int) -> list[Visitor]:
    """Visitors that queue in a known order."""
    visitors: list[Visitor] = []
    for number in range(count):
        visitors.append(Visitor(gate))
        assert wait_until(lambda: visitors[-1].inside.is_set() or visitors[-1].reports), number
    return visitors


def test_only_so_many_are_inside_and_the_rest_follow_in_order() -> None:
    visitors = arrive(Gate(2), 5)
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
    visitors = arrive(Gate(1), 3)
    began = time.monotonic()
    visitors[1].cancel.cancel()
    visitors[1].thread.join(5)
    assert time.monotonic() - began < 0.2
    assert visitors[1].cancelled
    visitors[0].go()
    assert wait_until(lambda: inside(visitors) == [2])
    visitors[2].go()


def test_a_place_is_given_back_when_the_call_fails() -> None:
    gate = Gate(1)
    for _ in range(3):
        with pytest.raises(ValueError), gate.entered(gate.ticket(), CancelToken(), lambda _: None):
            raise ValueError


def test_after_a_refusal_nobody_enters_for_a_while_and_then_half_as_many() -> None:
    now = [100.0]
    gate = Gate(4, clock=lambda: now[0])
    gate.slow_down(30)
    visitors = arrive(gate, 4)
    assert inside(visitors) == []
    assert visitors[0].reports[-1].phase == "pausing"
    assert visitors[0].reports[-1].until == 130.0
    assert "fewer calls" in visitors[0].reports[-1].text
    now[0] = 129.9
    time.sleep(0.12)
    assert inside(visitors) == []
    now[0] = 130.0
    assert wait_until(lambda: inside(visitors) == [0, 1])
    time.sleep(0.12)
    assert inside(visitors) == [0, 1]
    # Every answer lets one more in at once, up to the limit.
    gate.went_well()
    assert wait_until(lambda: inside(visitors) == [0, 1, 2])
    gate.went_well()
    assert wait_until(lambda: inside(visitors) == [0, 1, 2, 3])
    for one in visitors:
        one.go()


def test_the_longest_quiet_holds_and_one_is_always_let_in() -> None:
    now = [0.0]
    gate = Gate(2, clock=lambda: now[0])
    for seconds in (10, 3, 5):
        gate.slow_down(seconds)
    visitors = arrive(gate, 2)
    now[0] = 9.9
    time.sleep(0.12)
    assert inside(visitors) == []
    now[0] = 10.0
    assert wait_until(lambda: inside(visitors) == [0])
    for one in visitors:
        one.go()


def test_it_never_grows_beyond_its_limit() -> None:
    gate = Gate(2)
    for _ in range(5):
        gate.went_well()
    visitors = arrive(gate, 3)
    assert inside(visitors) == [0, 1]
    for one in visitors:
        one.go()


def test_a_changed_limit_holds_at_once() -> None:
    gates = Gates()
    gate = gates.of("https://a.example", 1)
    visitors = arrive(gate, 3)
    assert inside(visitors) == [0]
    assert gates.of("https://a.example", 3) is gate
    assert wait_until(lambda: inside(visitors) == [0, 1, 2])
    for one in visitors:
        one.go()


def test_gateways_do_not_wait_for_each_other() -> None:
    gates = Gates()
    with ExitStack() as held:
        first, second = gates.of("https://a.example", 1), gates.of("https://b.example", 1)
        held.enter_context(first.entered(first.ticket(), CancelToken(), lambda _: None))
        first.slow_down(60)
        held.enter_context(second.entered(second.ticket(), CancelToken(), lambda _: None))


def test_a_retried_call_keeps_its_place_before_those_that_came_later() -> None:
    gate = Gate(1)
    early, late = gate.ticket(), gate.ticket()
    holder = Visitor(gate)
    assert wait_until(lambda: holder.inside.is_set())
    second = Visitor(gate, late)
    assert wait_until(lambda: second.reports)
    first = Visitor(gate, early)
    assert wait_until(lambda: first.reports)
    holder.go()
    assert wait_until(lambda: first.inside.is_set())
    assert not second.inside.is_set()
    first.go()
    second.go()
