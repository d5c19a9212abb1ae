"""When and after how long a call is sent again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import (
    BadAnswer,
    BadRequest,
    Billed,
    ContentRefused,
    DownloadFailed,
    GatewayError,
    RateLimited,
    ServerFailed,
    StreamBroken,
    TimedOut,
    TooLarge,
    Unreachable,
)
from pack.nanobanana.gateway.retry import DOWNLOAD_TRIES, Backoff, delay, download_delay, may_retry


def limited(seconds: float | None = None) -> RateLimited:
    return RateLimited("x", status=429, retry_after=seconds)


@pytest.mark.parametrize(
    ("error", "posts"),
    [
        (Unreachable("x"), 3),
        (TimedOut("x", phase="connecting", billed="no"), 3),
        (TimedOut("x", phase="connecting"), 1),
        (TimedOut("x", phase="uploading"), 1),
        (TimedOut("x", phase="waiting"), 1),
        (TimedOut("x", phase="streaming"), 1),
        (StreamBroken("x", billed="maybe"), 1),
        (StreamBroken("x", billed="no"), 1),
        (BadAnswer("x", billed="yes"), 1),
        (ContentRefused("x", status=200, billed="yes"), 1),
        (BadRequest("x", status=500), 1),
        (TooLarge("x", status=413), 1),
        (DownloadFailed("x", url="https://x"), 1),
        (ServerFailed("x", status=500), 2),
        (ServerFailed("x", status=500, billed="maybe"), 1),
        (ServerFailed("x", status=200), 1),
        (limited(), 5),
        (RateLimited("x", status=429, billed="maybe"), 1),
    ],
)
def test_how_often_a_post_is_made(error: GatewayError, posts: int) -> None:
    assert [may_retry(error, attempt) for attempt in range(1, 8)] == [attempt < posts for attempt in range(1, 8)]


def test_a_rate_limit_without_a_retry_after_is_outlived() -> None:
    assert all(may_retry(limited(), attempt, outlives=True) for attempt in range(1, 40))
    assert not may_retry(limited(), 40, outlives=True)
    assert not may_retry(limited(7.0), 5, outlives=True)
    assert not may_retry(RateLimited("x", status=503), 5, outlives=True)
    assert [Backoff().outlives(seconds) for seconds in (0.0, 89.0, 90.0)] == [True, True, False]
    # The pauses of one call that finds out: more than the minute in which limits are counted, and few uploads.
    waits = [delay(limited(), attempt, lambda: 0.5) for attempt in range(1, 13)]
    assert 90 < sum(waits) < 120


@given(st.sampled_from([Unreachable, StreamBroken, BadAnswer]), st.sampled_from(["yes", "maybe"]), st.integers(1, 9))
def test_a_call_that_may_be_billed_is_not_repeated(kind: type[GatewayError], billed: Billed, attempt: int) -> None:
    assert not may_retry(kind("x", billed=billed), attempt)


def test_backoff_doubles_up_to_8_seconds() -> None:
    error = ServerFailed("x", status=500)
    assert [delay(error, attempt, lambda: 1.0) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert [delay(error, attempt, lambda: 0.0) for attempt in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert delay(error, 10_000, lambda: 1.0) == 8


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(None, 0.25, 0.5), (0.0, 0.25, 1), (7.0, 7, 8), (119.5, 119.5, 120), (1e6, 120, 120)]
)
def test_retry_after_is_waited_for_up_to_120_seconds(asked: float | None, least: float, most: float) -> None:
    assert delay(limited(asked), 1, lambda: 0.0) == pytest.approx(least)
    assert delay(limited(asked), 1, lambda: 1.0) == pytest.approx(most)


@given(st.none() | st.floats(0, 1e9), st.integers(0, 1000), st.floats(0, 1))
def test_any_delay_lies_between_0_and_120(asked: float | None, attempt: int, chance: float) -> None:
    seconds = delay(limited(asked), attempt, lambda: chance)
    assert 0 < seconds <= 120
    assert seconds >= min(asked or 0, 120)


def test_a_download_is_tried_over_about_30_seconds() -> None:
    assert DOWNLOAD_TRIES == 5
    waits = [download_delay(attempt, lambda: 0.5) for attempt in range(1, DOWNLOAD_TRIES)]
    assert waits == pytest.approx([2, 4, 8, 16])
    assert sum(download_delay(attempt, lambda: 0.0) for attempt in range(1, DOWNLOAD_TRIES)) == pytest.approx(27)
    assert sum(download_delay(attempt, lambda: 1.0) for attempt in range(1, DOWNLOAD_TRIES)) == pytest.approx(33)
