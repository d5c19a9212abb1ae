"""Whether a call may be sent again, and after how long: the error and the count decide.

A POST that may have been billed is never sent again. No relay of this kind honours an Idempotency-Key, so only the
error can say whether a second POST means a second bill.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import GatewayError, NotFound, RateLimited, ServerFailed, TimedOut, Unreachable

# 429 and 503: with the waits below, five POSTs span up to 8 s without a Retry-After and up to 8 minutes with one.
MOST_POSTS_WHEN_LIMITED: Final = 5
# A 429 without a Retry-After is outlived, since rate limits are counted over a minute; with the waits below that takes
# some 12 to 20 POSTs.
LIMITED_SECONDS: Final = 90.0
_MOST_REFUSALS: Final = 40
# Nothing was sent: three tries within a second and a half tell a hiccup from a wrong address.
MOST_POSTS_WHEN_UNREACHABLE: Final = 3
# Upstream failures and a model without a channel are tried once more: the relay then picks another channel.
MOST_POSTS_WHEN_FAILED: Final = 2

_TOO_MANY: Final = 429
_RETRIED_STATUSES: Final = frozenset({500, 502, 521, 523})

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 8.0
# Between the calls that find out whether a rate limit has passed: an image may be many megabytes to upload.
_LONGEST_LIMITED_DELAY: Final = 16.0
_LONGEST_WAIT: Final = 120.0

DOWNLOAD_TRIES: Final = 5
# Four waits of 2, 4, 8 and 16 s: a result URL that the CDN doesn't serve yet is tried over about 30 s.
_FIRST_DOWNLOAD_DELAY: Final = 2.0


def may_retry(error: GatewayError, attempt: int, *, outlives: bool = False) -> bool:
    """Whether the call may be sent again after `attempt` POSTs (1 after the first).

    `outlives`: whether the gateway has refused calls for less than `LIMITED_SECONDS`.
    """
    if error.billed != "no":
        return False  # it may have been paid for
    if isinstance(error, Unreachable) or (isinstance(error, TimedOut) and error.phase == "connecting"):
        return attempt < MOST_POSTS_WHEN_UNREACHABLE  # nothing was sent
    if isinstance(error, RateLimited):
        # Refused before the model, and it passes with time.
        patient = outlives and error.status == _TOO_MANY and error.retry_after is None
        return attempt < (_MOST_REFUSALS if patient else MOST_POSTS_WHEN_LIMITED)
    if isinstance(error, NotFound):
        # No channel for the model at this moment (503, or what it was remapped to); a 404 stays a 404.
        return error.code == "model_not_found" and error.status >= 500 and attempt < MOST_POSTS_WHEN_FAILED
    if isinstance(error, ServerFailed):
        return error.status in _RETRIED_STATUSES and attempt < MOST_POSTS_WHEN_FAILED
    return False  # bad request, bad key, no credit, refused, too large: sending it again gives the same


def delay(error: GatewayError, attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait before POST number `attempt` + 1, 0 to 120.

    Doubles from 0.5 s to 8 s, 16 s after a 429, with jitter between half and all of it. A Retry-After is waited for in
    full, up to 120 s, plus up to a second, so parallel calls don't all come back at once. `random` gives 0.0 up to 1.0.
    """
    longest = _LONGEST_LIMITED_DELAY if isinstance(error, RateLimited) else _LONGEST_DELAY
    backoff = min(_FIRST_DELAY * 2.0 ** min(max(attempt, 1) - 1, 10), longest)
    wait = backoff * (0.5 + random() / 2)
    asked = error.retry_after if isinstance(error, RateLimited) else None
    if asked is not None:
        wait = max(wait, asked + random())
    return min(wait, _LONGEST_WAIT)


def download_delay(attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait before download number `attempt` + 1; 27 to 33 s over the four waits."""
    return _FIRST_DOWNLOAD_DELAY * 2.0 ** min(max(attempt, 1) - 1, DOWNLOAD_TRIES - 2) * (0.9 + 0.2 * random())


@dataclass(frozen=True)
class Backoff:
    """How long to pause; given to everything that waits before it tries again.

    `random` gives 0.0 up to 1.0. `idle_seconds`: the longest silence of a download before it is tried again.
    `after_image_seconds`: how long a stream that has brought an image may be silent without ending. `scale` shortens
    the pauses that we choose ourselves, for tests; a gateway's Retry-After is never shortened.
    """

    random: Callable[[], float] = random_module.random
    scale: float = 1.0
    idle_seconds: float = 60.0
    after_image_seconds: float = 20.0

    def before_post(self, error: GatewayError, attempt: int) -> float:
        """Seconds before POST number `attempt` + 1, after `error`."""
        asked = getattr(error, "retry_after", None)
        return delay(error, attempt, self.random) * (1.0 if asked else self.scale)

    def outlives(self, refused_seconds: float) -> bool:
        """Whether a gateway that has refused every call for `refused_seconds` is asked again."""
        return refused_seconds < LIMITED_SECONDS * self.scale

    def before_download(self, attempt: int) -> float:
        """Seconds before download number `attempt` + 1."""
        return download_delay(attempt, self.random) * self.scale
