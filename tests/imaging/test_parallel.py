from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.imaging.parallel import core_count, run_all


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whoever_is_first(workers: int, cancel: CancelToken) -> None:
    def job(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert run_all([partial(job, number) for number in range(20)], workers=workers, cancel=cancel) == [
        n * n for n in range(20)
    ]
    assert run_all([], workers=workers, cancel=cancel) == []


def test_jobs_overlap(cancel: CancelToken) -> None:
    meeting = threading.Barrier(3, timeout=5)
    # Each waits for the other two: with fewer threads the barrier would break.
    assert len(run_all([meeting.wait] * 3, workers=3, cancel=cancel)) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_failure_surfaces_and_stops_the_rest(workers: int, cancel: CancelToken) -> None:
    done: list[int] = []

    def job(number: int) -> None:
        if number == 4:
            raise ValueError("the fourth")
        done.append(number)
        time.sleep(0.001)

    with pytest.raises(ValueError, match="the fourth"):
        run_all([partial(job, number) for number in range(200)], workers=workers, cancel=cancel)
    assert len(done) < 100


def test_a_cancel_stops_between_jobs() -> None:
    cancel = CancelToken()
    done: list[int] = []

    def job(number: int) -> None:
        done.append(number)
        if len(done) == 5:
            cancel.cancel()

    with pytest.raises(Cancelled):
        run_all([partial(job, number) for number in range(200)], workers=2, cancel=cancel)
    assert len(done) < 10


def test_further_threads_are_daemons(cancel: CancelToken) -> None:
    meeting = threading.Barrier(2, timeout=5)

    def job() -> tuple[bool, bool]:
        meeting.wait()
        return threading.current_thread() is threading.main_thread(), threading.current_thread().daemon

    assert sorted(run_all([job, job], workers=2, cancel=cancel)) == [(False, True), (True, False)]


def test_there_is_a_core() -> None:
    assert core_count() >= 1
