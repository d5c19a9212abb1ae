"""The table of what an error of the gateway means, read from the top: the first row that fits counts.

Codes and words stand before statuses, since administrators remap statuses. Each row says whether such a call was
billed and what to do about it; whether it is sent again is decided in `retry`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import (
    AuthFailed,
    BadRequest,
    Billed,
    ContentRefused,
    NotFound,
    OutOfCredit,
    RateLimited,
    ServerFailed,
    StatusError,
    TooLarge,
)
from .error_body import ErrorBody

# A call that timed out on the way may have been finished behind it: 408, and Cloudflare's and the proxies' 5xx.
TIMED_OUT: Final = frozenset({408, 504, 520, 524})
_UPSTREAM_FAILED: Final = frozenset({500, 502, 521, 522, 523})
_NEVER_ARRIVED: Final = frozenset({525, 526, 530})

_OUT_OF_CREDIT: Final = frozenset(
    {
        "insufficient_user_quota",
        "pre_consume_token_quota_failed",
        "insufficient_quota",
        "insufficient_balance",
        "billing_hard_limit_reached",
    }
)
_REFUSED: Final = frozenset(
    {
        "sensitive_words_detected",
        "prompt_blocked",
        "content_filter",
        "content_policy_violation",
        "moderation_blocked",
        "image_safety",
        "prohibited_content",
        "safety",
    }
)
_DETERMINISTIC: Final = frozenset(
    {"invalid_request", "convert_request_failed", "model_price_error", "count_token_failed", "bad_request_body"}
)
_BAD_KEY: Final = frozenset({"invalid_api_key", "invalid_token", "token_expired"})
_LIMITED: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
_TOO_LARGE: Final = frozenset({"request_too_large", "payload_too_large", "request_entity_too_large"})

_CREDIT_WORDS: Final = re.compile(
    "\u4f59\u989d\u4e0d\u8db3|\u989d\u5ea6\u4e0d\u8db3|\u9884\u6263\u8d39\u989d\u5ea6\u5931\u8d25"
    "|\u989d\u5ea6\u5df2\u7528\u5c3d|insufficient[ _]user[ _]quota|insufficient (?:balance|credits?|funds)"
    "|quota is not enough",
    re.IGNORECASE,
)
_TIMEOUT_WORDS: Final = re.compile("timed? ?out|deadline exceeded|\u8d85\u65f6", re.IGNORECASE)
_LARGE_WORDS: Final = re.compile("(?:entity|payload|request|body) (?:is )?too large", re.IGNORECASE)

_SETTINGS: Final = "Settings > NanoBanana"


@dataclass(frozen=True)
class Fault:
    """One error as it came. `status`: the one that counts; `http_status`: that of the answer (200 in a stream)."""

    body: ErrorBody
    status: int
    http_status: int
    key_is_set: bool = True
    location: str = ""

    def named(self, names: frozenset[str]) -> bool:
        """Whether the code or the type is one of `names`."""
        return self.body.code in names or self.body.type in names

    @property
    def in_stream(self) -> bool:
        """Whether the gateway had taken the call before it named the error."""
        return 200 <= self.http_status < 300


@dataclass(frozen=True)
class Row:
    """A row of the table. `happened`: a sentence for the person at the canvas. `reason`: why the row is so."""

    name: str
    fits: Callable[[Fault], bool]
    error: type[StatusError]
    billed: Billed
    happened: str
    hint: str
    reason: str


def _status(*statuses: int) -> Callable[[Fault], bool]:
    return lambda fault: fault.status in statuses


def _code(names: frozenset[str]) -> Callable[[Fault], bool]:
    return lambda fault: fault.named(names)


ROWS: Final = (
    Row(
        "no credit",
        lambda fault: (
            fault.status == 402 or fault.named(_OUT_OF_CREDIT) or bool(_CREDIT_WORDS.search(fault.body.words))
        ),
        OutOfCredit,
        "no",
        "The balance at the gateway is used up",
        "Top up the account, or set another key in " + _SETTINGS + ".",
        "named by code before the status: relays send it as 402, 403 and 429",
    ),
    Row(
        "refused",
        _code(_REFUSED),
        ContentRefused,
        "no",
        "The gateway refused the prompt or an image",
        "Change the prompt or the input images.",
        "moderation before the model: deterministic, often behind a default 500",
    ),
    Row(
        "no such model",
        _code(frozenset({"model_not_found"})),
        NotFound,
        "no",
        "The gateway has no channel for this model at present",
        "Choose another model, or check with Test connection which ones this key may use.",
        "no channel took the call",
    ),
    Row(
        "bad request by code",
        _code(_DETERMINISTIC),
        BadRequest,
        "no",
        "The gateway can't work with this request",
        "Change what the message names; if it names nothing, try another dialect in " + _SETTINGS + ".",
        "deterministic, behind a default 500: sending it again changes nothing",
    ),
    Row(
        "too large",
        lambda fault: fault.status == 413 or fault.named(_TOO_LARGE) or bool(_LARGE_WORDS.search(fault.body.words)),
        TooLarge,
        "no",
        "The request is larger than the gateway takes",
        "Use fewer or smaller input images, or lower the limits in " + _SETTINGS + ".",
        "refused before the model",
    ),
    Row(
        "no key",
        lambda fault: not fault.key_is_set and (fault.status == 401 or fault.named(_BAD_KEY)),
        AuthFailed,
        "no",
        "The gateway asks for a key, and no key is set",
        "Set one in " + _SETTINGS + ", or in the environment variable NANOBANANA_API_KEY.",
        "the page doesn't require a key, so that none may have been configured",
    ),
    Row(
        "bad key",
        lambda fault: fault.status == 401 or fault.named(_BAD_KEY),
        AuthFailed,
        "no",
        "The gateway doesn't accept the key",
        "Check the key in " + _SETTINGS + ", or NANOBANANA_API_KEY.",
        "refused before the model",
    ),
    Row(
        "rate limit",
        lambda fault: fault.status == 429 or fault.named(_LIMITED),
        RateLimited,
        "no",
        "The gateway takes no more calls at present",
        "Wait a minute, or lower the concurrency in " + _SETTINGS + ".",
        "refused before the model, or upstream has no capacity",
    ),
    Row(
        "not allowed",
        _status(403),
        AuthFailed,
        "no",
        "The gateway doesn't allow this call",
        "Check that the key may use this model, and that your address isn't blocked.",
        "refused before the model",
    ),
    Row(
        "elsewhere",
        lambda fault: 300 <= fault.status < 400,
        NotFound,
        "no",
        "The gateway's address has moved",
        "Set the base URL in " + _SETTINGS + " to the address it names; a redirect isn't followed with a key.",
        "nothing was done there",
    ),
    Row(
        "not found",
        _status(404, 405, 410),
        NotFound,
        "no",
        "There is nothing at this address, or the model is unknown",
        "Check the base URL in " + _SETTINGS + " and the model.",
        "no relay took the call",
    ),
    Row(
        "legal",
        _status(451),
        ContentRefused,
        "no",
        "The gateway refused the prompt or an image",
        "Change the prompt or the input images.",
        "refused before the model",
    ),
    Row(
        "timed out behind",
        lambda fault: (
            fault.status in TIMED_OUT
            or fault.http_status in TIMED_OUT
            # 522's own page says "Connection timed out" and means that nothing was submitted.
            or (fault.status in (500, 502) and bool(_TIMEOUT_WORDS.search(fault.body.words)))
        ),
        ServerFailed,
        "maybe",
        "The gateway waited too long for the model",
        "Look into the gateway's own log before running it again: the image may have been made and billed.",
        "the work may have finished behind the timeout",
    ),
    Row(
        "failed in the stream",
        lambda fault: fault.in_stream and (fault.status < 400 or fault.status >= 500),
        ServerFailed,
        "maybe",
        "The gateway broke off its answer with an error",
        "Run it again if the message doesn't say why; the gateway's log shows whether it was billed.",
        "the call had been taken when it failed",
    ),
    Row(
        "overloaded",
        _status(503),
        RateLimited,
        "no",
        "The gateway is overloaded",
        "Try again in a few minutes.",
        "not submitted",
    ),
    Row(
        "upstream failed",
        lambda fault: fault.status in _UPSTREAM_FAILED,
        ServerFailed,
        "no",
        "The gateway or the model behind it failed",
        "Run it again; if it goes on, try another model.",
        "upstream failures are usually not billed",
    ),
    Row(
        "never arrived",
        lambda fault: fault.status in _NEVER_ARRIVED,
        ServerFailed,
        "no",
        "The gateway's own server can't be reached behind its proxy",
        "Try again later, or tell the gateway's support.",
        "TLS or DNS failed between the proxy and the gateway",
    ),
    Row(
        "bad request",
        lambda fault: 400 <= fault.status < 500,
        BadRequest,
        "no",
        "The gateway doesn't accept this request",
        "Change what the message names; if it names nothing, try another dialect in " + _SETTINGS + ".",
        "refused before the model",
    ),
    Row(
        "unknown",
        lambda _: True,
        ServerFailed,
        "maybe",
        "The gateway answered with a status that says nothing about the call",
        "Check the base URL in " + _SETTINGS + ".",
        "nothing is known, so the worst is assumed",
    ),
)
