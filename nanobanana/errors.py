"""Every error the pack raises.

    NanoBananaError(message, hint)
      ConfigError                     the settings: base URL, key, profile
      InputError                      what was wired or typed into the node
      ImageError                      an image that can't be decoded or encoded
      HistoryError                    the data folder or its database
      GatewayError(request_id, attempts, billed)
        Unreachable                   DNS, TCP, TLS or proxy: the request was not sent
        TimedOut(phase)               connecting, uploading, waiting, streaming, downloading
        StreamBroken                  the connection ended before the answer did
        BadAnswer                     an answer that is none: no image, not JSON, over a limit
        StatusError(status, code)
          BadRequest  ContentRefused  AuthFailed  OutOfCredit  NotFound  TooLarge
          RateLimited(retry_after)  ServerFailed
        DownloadFailed(url)           the image was made and paid for, its download failed

Each message is written for the person at the canvas: what happened, the gateway's own words, and (appended by
`str`) the request id, whether it was billed, and one thing to do. A cancel is not in this tree.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Literal

Billed = Literal["yes", "no", "maybe"]

_BILLED_WORDS: dict[Billed, str] = {
    "yes": "This call was billed.",
    "no": "This call was not billed.",
    "maybe": "This call may have been billed.",
}


class NanoBananaError(Exception):
    """`message`: what happened, one or two sentences. `hint`: the one thing to do about it, may be empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.hint) if part)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are copied by calling the class with `args`, which keyword-only arguments don't survive.
        return _rebuilt, (type(self), self.args), dict(self.__dict__)


def _rebuilt(kind: type[NanoBananaError], args: tuple[object, ...]) -> NanoBananaError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigError(NanoBananaError):
    """The settings are missing or wrong."""


class InputError(NanoBananaError):
    """What the person gave can't be sent; nothing was sent."""


class ImageError(NanoBananaError):
    """Bytes that are no image, or an image over a limit."""


class HistoryError(NanoBananaError):
    """The data folder can't be read or written."""


class GatewayError(NanoBananaError):
    """A call to the gateway failed.

    `request_id`: the gateway's own, empty when none was seen. `attempts`: POSTs made for this call, 0 or more.
    `billed`: `yes`, `no` or `maybe`, by the table in docs/reliability.md.
    """

    def __init__(
        self, message: str, hint: str = "", *, request_id: str = "", attempts: int = 1, billed: Billed = "no"
    ) -> None:
        super().__init__(message, hint)
        self.request_id = request_id
        self.attempts = attempts
        self.billed: Billed = billed

    def __str__(self) -> str:
        parts = [self.message]
        if self.request_id:
            parts.append(f"Request id: {self.request_id}.")
        if self.attempts > 1:
            parts.append(f"Tried {self.attempts} times.")
        parts.append(_BILLED_WORDS[self.billed])
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


class Unreachable(GatewayError):
    """DNS, TCP, TLS or proxy failed before the request was sent: never billed."""


class TimedOut(GatewayError):
    """`phase`: `connecting`, `uploading`, `waiting`, `streaming` or `downloading`."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        phase: str,
        request_id: str = "",
        attempts: int = 1,
        billed: Billed = "maybe",
    ) -> None:
        super().__init__(message, hint, request_id=request_id, attempts=attempts, billed=billed)
        self.phase = phase


class StreamBroken(GatewayError):
    """The connection ended after the request was sent and before the answer was whole."""


class BadAnswer(GatewayError):
    """The gateway answered, and the answer holds no image or can't be read."""


class StatusError(GatewayError):
    """An error the gateway named. `status`: the HTTP status (200 for an error inside a stream). `code`: its own."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int,
        code: str = "",
        request_id: str = "",
        attempts: int = 1,
        billed: Billed = "no",
    ) -> None:
        super().__init__(message, hint, request_id=request_id, attempts=attempts, billed=billed)
        self.status = status
        self.code = code


class BadRequest(StatusError):
    """400, 422 and the codes that mean the same: sending it again changes nothing."""


class ContentRefused(StatusError):
    """The prompt or the image was refused by moderation, or the model answered with words only."""


class AuthFailed(StatusError):
    """401, and 403 where it is about the key."""


class OutOfCredit(StatusError):
    """The balance is used up."""


class NotFound(StatusError):
    """404, or no channel has this model."""


class TooLarge(StatusError):
    """413: the body is larger than the gateway takes."""


class RateLimited(StatusError):
    """429 and 503: too many calls at present. `retry_after`: seconds the gateway asks for, or None."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int,
        code: str = "",
        retry_after: float | None = None,
        request_id: str = "",
        attempts: int = 1,
        billed: Billed = "no",
    ) -> None:
        super().__init__(
            message, hint, status=status, code=code, request_id=request_id, attempts=attempts, billed=billed
        )
        self.retry_after = retry_after


class ServerFailed(StatusError):
    """5xx: the gateway or the model behind it failed."""


class DownloadFailed(GatewayError):
    """The image exists and is paid for, but could not be fetched. `url`: where it is. `reason`: of the last try."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        url: str,
        reason: str = "",
        request_id: str = "",
        attempts: int = 1,
        billed: Billed = "yes",
    ) -> None:
        super().__init__(message, hint, request_id=request_id, attempts=attempts, billed=billed)
        self.url = url
        self.reason = reason


def _by_cost(billed: Billed) -> int:
    return ("no", "maybe", "yes").index(billed)


def merged(errors: Iterable[NanoBananaError]) -> list[NanoBananaError]:
    """`errors` with those that say the same put together: one error, its request id listing all of theirs.

    Of their `billed`, the one that costs most is kept.
    """
    found: dict[tuple[type, str, str], NanoBananaError] = {}
    for error in errors:
        key = (type(error), error.message, error.hint)
        first = found.get(key)
        if first is None:
            found[key] = copy.copy(error)
        elif isinstance(first, GatewayError) and isinstance(error, GatewayError):
            first.request_id = ", ".join(part for part in (first.request_id, error.request_id) if part)
            first.billed = max(first.billed, error.billed, key=_by_cost)
    return list(found.values())
