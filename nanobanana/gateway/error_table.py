"""What a gateway's error means, in an answer's status or inside its stream: one table, read from the top.

Codes and messages come before statuses, since administrators remap statuses. Each row says whether such a call was
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

# Something in between timed out, and the work may have finished: 408, and the 5xx of Cloudflare and proxies.
# 522 too: Cloudflare also answers so when a server that it reached does not acknowledge the request in time.
TIMED_OUT: Final = frozenset({408, 504, 520, 522, 524})

_OUT_OF_CREDIT: Final = frozenset(
    {
        "insufficient_user_quota",
        "pre_consume_token_quota_failed",
        "insufficient_quota",
        "insufficient_balance",
        "billing_hard_limit_reached",
        "budget_exceeded",
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
# Relays' own codes for failures while the request was on its way or after it had arrived.
_AFTER_SENDING: Final = frozenset(
    {"do_request_failed", "read_response_body_failed", "bad_response_body", "bad_response", "stream_error"}
)
_SERVER_ERRORS: Final = frozenset({"server_error", "upstream_error", "api_error"})
_OVERLOADED: Final = frozenset({"overloaded", "overloaded_error"})
_TOO_LARGE: Final = frozenset({"request_too_large", "payload_too_large", "request_entity_too_large"})

_CREDIT_TEXT: Final = re.compile(
    "\u4f59\u989d\u4e0d\u8db3|\u989d\u5ea6\u4e0d\u8db3|\u9884\u6263\u8d39\u989d\u5ea6\u5931\u8d25"
    "|\u989d\u5ea6\u5df2\u7528\u5c3d|insufficient[ _]user[ _]quota|insufficient (?:balance|credits?|funds)"
    "|quota is not enough|budget has been exceeded|over budget",
    re.IGNORECASE,
)
_TIMEOUT_TEXT: Final = re.compile("timed? ?out|deadline exceeded|\u8d85\u65f6", re.IGNORECASE)
# Moderation whose code was lost on the way.
_REFUSED_TEXT: Final = re.compile(
    r"requires moderation|\b(?:was|were|been|input) flagged|rejected (?:as a result of|by) (?:our|the) safety system"
    r"|blocked by (?:our |the )?(?:safety|content|moderation)",
    re.IGNORECASE,
)
# What proxies and relays say when the connection to the model broke after the request: the model may have finished.
_BROKE_TEXT: Final = re.compile(
    r"disconnect|connection error|\breset\b|econnreset|\beof\b|broken pipe|epipe|premature|incomplete|\bclosed?\b"
    r"|h[au]ng up|abort|interrupted|terminated|stream error|received from peer|context cancell?ed|too large",
    re.IGNORECASE,
)
# And when the model couldn't be reached: nothing was sent.
_NOT_SENT_TEXT: Final = re.compile(
    r"connection refused|actively refused|no such host|\bdial\b|no route|unreachable|name resolution|getaddrinfo"
    r"|name or service not known"
    r"|enotfound|econnrefused|eai_again|cannot connect to host|failed to connect|could not (?:resolve|connect)"
    r"|connection attempts failed|connection failure",
    re.IGNORECASE,
)
# Envoy says this with a 503; the two reasons that are left out come before anything is sent.
_RESET_TEXT: Final = re.compile("reset before headers(?!.*(?:connection failure|overflow))", re.IGNORECASE | re.DOTALL)
_PLAIN_TO_TLS: Final = re.compile("plain HTTP request was sent to (?:an )?HTTPS port", re.IGNORECASE)
_LARGE_TEXT: Final = re.compile("(?<!response )(?:entity|payload|request|body) (?:is )?too large", re.IGNORECASE)

_SETTINGS: Final = "Settings > NanoBanana"
_LOOK_FIRST: Final = "Look at the gateway's own log before you run it again: the image may have been made and billed."


@dataclass(frozen=True)
class ErrorReply:
    """One error as it came. `status`: the one that counts; `http_status`: the answer's (200 in a stream)."""

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
class ErrorRow:
    """A row of the table. `happened`: a sentence for the person at the canvas. `reason`: why the row is so.

    `sure`: whether `billed` always holds, and is not just usual.
    """

    name: str
    fits: Callable[[ErrorReply], bool]
    error: type[StatusError]
    billed: Billed
    happened: str
    hint: str
    reason: str
    sure: bool = True


def _status(*statuses: int) -> Callable[[ErrorReply], bool]:
    return lambda reply: reply.status in statuses


def _code(names: frozenset[str]) -> Callable[[ErrorReply], bool]:
    return lambda reply: reply.named(names)


ROWS: Final = (
    ErrorRow(
        "no credit",
        lambda reply: (
            reply.status == 402 or reply.named(_OUT_OF_CREDIT) or bool(_CREDIT_TEXT.search(reply.body.message))
        ),
        OutOfCredit,
        "no",
        "The balance at the gateway is used up",
        "Top up the account, or set another key in " + _SETTINGS + ".",
        "named by code before the status: relays send it as 402, 403 and 429",
    ),
    ErrorRow(
        "refused",
        lambda reply: reply.status == 451 or reply.named(_REFUSED),
        ContentRefused,
        "no",
        "The gateway refused the prompt or an image",
        "Change the prompt or the input images.",
        "moderation before the model: deterministic, often behind a default 500",
    ),
    ErrorRow(
        "no such model",
        _code(frozenset({"model_not_found"})),
        NotFound,
        "no",
        "The gateway has no channel for this model right now",
        "Choose another model, or check with Test connection which ones this key may use.",
        "no channel took the call",
    ),
    ErrorRow(
        "bad request by code",
        _code(_DETERMINISTIC),
        BadRequest,
        "no",
        "The gateway can't work with this request",
        "Change what the message names. If it names nothing, try another dialect in " + _SETTINGS + ".",
        "deterministic, behind a default 500: sending it again changes nothing",
    ),
    ErrorRow(
        "too large",
        lambda reply: (
            reply.status == 413
            or reply.named(_TOO_LARGE)
            or (
                # Behind a 5xx, it may be the answer that is too large, and billed.
                reply.status < 500 and bool(_LARGE_TEXT.search(reply.body.message))
            )
        ),
        TooLarge,
        "no",
        "The request is larger than the gateway takes",
        "Use fewer or smaller input images, or lower the limits in " + _SETTINGS + ".",
        "refused before the model",
    ),
    ErrorRow(
        "refused by its words",
        lambda reply: reply.status in (400, 403, 422, 500) and bool(_REFUSED_TEXT.search(reply.body.message)),
        ContentRefused,
        "no",
        "The gateway refused the prompt or an image",
        "Change the prompt or the input images.",
        "moderation before the model, whose code a relay lost",
    ),
    ErrorRow(
        "http on an https port",
        lambda reply: bool(_PLAIN_TO_TLS.search(reply.body.message)),
        NotFound,
        "no",
        "The gateway's port takes https only",
        "Begin the base URL in " + _SETTINGS + " with https://.",
        "the web server in front of it refused the request",
    ),
    ErrorRow(
        "proxy's key",
        _status(407),
        AuthFailed,
        "no",
        "The proxy on the way to the gateway asks for a user name and a password",
        "Check HTTPS_PROXY and HTTP_PROXY, or add the gateway's host to NO_PROXY.",
        "407 is a proxy's: the gateway never saw the request",
    ),
    ErrorRow(
        "no key",
        lambda reply: not reply.key_is_set and (reply.status == 401 or reply.named(_BAD_KEY)),
        AuthFailed,
        "no",
        "The gateway asks for a key, and no key is set",
        "Set one in " + _SETTINGS + ", or in the environment variable NANOBANANA_API_KEY.",
        "the page doesn't require a key, so that none may have been configured",
    ),
    ErrorRow(
        "bad key",
        lambda reply: reply.status == 401 or reply.named(_BAD_KEY),
        AuthFailed,
        "no",
        "The gateway doesn't accept the key",
        "Check the key in " + _SETTINGS + ", or NANOBANANA_API_KEY.",
        "refused before the model",
    ),
    ErrorRow(
        "rate limit",
        lambda reply: reply.status == 429 or reply.named(_LIMITED),
        RateLimited,
        "no",
        "The gateway accepts no more calls for now",
        "Wait a minute, or lower the concurrency in " + _SETTINGS + ".",
        "refused before the model, or upstream has no capacity",
    ),
    ErrorRow(
        "not allowed",
        _status(403),
        AuthFailed,
        "no",
        "The gateway doesn't allow this call",
        "Check that the key may use this model, and that your address isn't blocked.",
        "refused before the model",
    ),
    ErrorRow(
        "elsewhere",
        lambda reply: 300 <= reply.status < 400,
        NotFound,
        "no",
        "The gateway's address has moved",
        "Set the base URL in " + _SETTINGS + " to that address; a redirect isn't followed with a key.",
        "nothing was done there",
    ),
    ErrorRow(
        "not found",
        _status(404, 405, 410),
        NotFound,
        "no",
        "There is nothing at this address, or the model is unknown",
        "Check the base URL in " + _SETTINGS + " and the model.",
        "no relay took the call",
    ),
    ErrorRow(
        "refused in the answer",
        lambda reply: reply.in_stream and bool(_REFUSED_TEXT.search(reply.body.message)),
        ContentRefused,
        "maybe",
        "The model's safety system blocked the image",
        "Change the prompt or the input images.",
        "the model had made it when it was blocked",
    ),
    ErrorRow(
        "timed out behind",
        lambda reply: (
            reply.status in TIMED_OUT
            or reply.http_status in TIMED_OUT
            or (reply.status in (500, 502) and bool(_TIMEOUT_TEXT.search(reply.body.message)))
        ),
        ServerFailed,
        "maybe",
        "The gateway waited too long for the model",
        _LOOK_FIRST,
        "the work may have finished behind the timeout",
    ),
    ErrorRow(
        "failed in the stream",
        lambda reply: reply.in_stream and (reply.status < 400 or reply.status >= 500),
        ServerFailed,
        "maybe",
        "The gateway broke off its answer with an error",
        "Run it again if the message gives no reason; the gateway's log shows whether it was billed.",
        "the call had been taken when it failed",
    ),
    ErrorRow(
        "the way to the model broke",
        lambda reply: (
            (reply.status in (500, 502) and bool(_BROKE_TEXT.search(reply.body.message)))
            or (reply.status == 503 and bool(_RESET_TEXT.search(reply.body.message)))
        ),
        ServerFailed,
        "maybe",
        "The gateway lost the model while it was working",
        _LOOK_FIRST,
        "the request had reached the model, which may have finished it",
    ),
    ErrorRow(
        "overloaded",
        lambda reply: reply.status in (503, 529) or reply.named(_OVERLOADED),
        RateLimited,
        "no",
        "The gateway is overloaded",
        "Try again in a few minutes.",
        "not submitted",
    ),
    ErrorRow(
        "no way to the model",
        lambda reply: reply.status in (500, 502) and bool(_NOT_SENT_TEXT.search(reply.body.message)),
        ServerFailed,
        "no",
        "The gateway can't reach the model",
        "Run it again. If it keeps failing, try another model.",
        "its words say that nothing was sent on",
    ),
    ErrorRow(
        "failed behind the request",
        lambda reply: reply.status in (500, 502) and reply.named(_AFTER_SENDING),
        ServerFailed,
        "maybe",
        "The gateway lost the model's answer",
        _LOOK_FIRST,
        "relays give these codes to a request that was on its way, or whose answer couldn't be read",
    ),
    ErrorRow(
        "failed by name",
        lambda reply: reply.status in (500, 502) and bool(reply.body.code or reply.body.type in _SERVER_ERRORS),
        ServerFailed,
        "no",
        "The gateway or the model behind it failed",
        "Run it again. If it keeps failing, try another model.",
        "a relay that names the failure has not charged for it, by all that relays publish",
        sure=False,
    ),
    ErrorRow(
        "failed without a reason",
        _status(500, 502),
        ServerFailed,
        "maybe",
        "The gateway, or a proxy before it, failed",
        _LOOK_FIRST,
        "a page or an empty body is a proxy's, whose way to the gateway may have broken behind the request",
    ),
    ErrorRow(
        "never arrived",
        _status(521, 523, 525, 526, 530),
        ServerFailed,
        "no",
        "The gateway's own server can't be reached behind its proxy",
        "Run it again in a few minutes. If it keeps failing, tell the gateway's support.",
        "the connection from the proxy to the gateway failed before anything was handed on",
    ),
    ErrorRow(
        "bad request",
        lambda reply: 400 <= reply.status < 500,
        BadRequest,
        "no",
        "The gateway doesn't accept this request",
        "Change what the message names. If it names nothing, try another dialect in " + _SETTINGS + ".",
        "refused before the model",
    ),
    ErrorRow(
        "unknown",
        lambda _: True,
        ServerFailed,
        "maybe",
        "The gateway answered with a status that says nothing about the call",
        "Check the base URL in " + _SETTINGS + ".",
        "nothing is known, so the worst is assumed",
    ),
)
