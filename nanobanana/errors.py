"""Every error the pack raises, and the log that tells of them without doing harm.

    NanoBananaError(message, hint)
      ConfigError                     the settings: base URL, key, profile
      InputError                      what was wired or typed into the node
      ImageError                      an image that can't be decoded or encoded
      HistoryError                    the data folder or its database
      GatewayError(request_id, attempts, billed)
        Unreachable                   DNS, TCP, TLS or proxy: the request was not sent
        TimedOut(phase)               connecting, uploading, waiting, streaming, downloading
        StreamBroken                  the connection ended before the answer did
        BadAnswer                     an unusable answer: no image, not JSON, over a limit
        StatusError(status, code)
          BadRequest  ContentRefused  AuthFailed  OutOfCredit  NotFound  TooLarge
          RateLimited(retry_after)  ServerFailed
        DownloadFailed(url)           the image was made and paid for, but its download failed

Each message is written for the person at the canvas: what happened, what the gateway says, and (appended by
`text`) the request id, whether it was billed, and one thing to do. A cancel is not in this tree.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal

Billed = Literal["yes", "no", "maybe"]

_BILLED: dict[Billed, str] = {
    "yes": "This call was billed.",
    "no": "This call was not billed.",
    "maybe": "This call may have been billed.",
}
_USUALLY_NOT_BILLED = "Such a call is usually not billed."


def printable(text: str) -> str:
    r"""`text` as this process's console takes it: what its encodings lack becomes an escape, as in `\u4e0a`.

    A console on Windows is often cp1252 or gbk, and strict. ComfyUI's own log writes to it in the thread that runs the
    graphs, which ends for good when that fails.
    """
    for stream in (sys.stdout, sys.stderr):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        except LookupError:
            text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text


class Log:
    """A logger whose lines never cost an outcome: whatever goes wrong in a handler stays there.

    `exc_info`: the exception to tell, or True for the one being handled.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, text: str, *values: object, exc_info: BaseException | bool = False) -> None:
        self._write(logging.DEBUG, text, values, exc_info)

    def info(self, text: str, *values: object, exc_info: BaseException | bool = False) -> None:
        self._write(logging.INFO, text, values, exc_info)

    def warning(self, text: str, *values: object, exc_info: BaseException | bool = False) -> None:
        self._write(logging.WARNING, text, values, exc_info)

    def error(self, text: str, *values: object, exc_info: BaseException | bool = False) -> None:
        self._write(logging.ERROR, text, values, exc_info)

    def _write(self, level: int, text: str, values: tuple[object, ...], exc_info: BaseException | bool) -> None:
        with contextlib.suppress(Exception):
            if not self._logger.isEnabledFor(level):
                return
            line = text % values if values else text
            error = sys.exc_info()[1] if exc_info is True else exc_info
            if isinstance(error, BaseException):
                line = "\n".join([line, *(part.rstrip("\n") for part in traceback.format_exception(error))])
            self._logger.log(level, "%s", printable(line), stacklevel=3)


@dataclass(eq=False, repr=False)
class NanoBananaError(Exception):
    """`message`: what happened, one or two sentences. `hint`: the one thing to do about it, may be empty."""

    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        # Copying and pickling use `args`; the other fields travel in the instance's dictionary.
        self.args = (self.message, self.hint)

    @property
    def text(self) -> str:
        """All that a person is told."""
        return " ".join(part for part in (self.message, self.hint) if part)

    def __str__(self) -> str:
        """`text`, with escapes for what the console can't write: the host logs this where a failure ends its work."""
        return printable(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self).__qualname__, self.args, self.__dict__)

    def redact(self, redact: Callable[[str], str]) -> None:
        """Put every text of the error through `redact`."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                setattr(self, field.name, redact(value))
        self.args = (self.message, self.hint)


class ConfigError(NanoBananaError):
    """The settings are missing or wrong."""


class InputError(NanoBananaError):
    """What the person gave can't be sent; nothing was sent."""


@dataclass(eq=False, repr=False)
class ImageError(NanoBananaError):
    """Bytes that aren't an image, or an image over a limit. `damaged`: a part is missing or wrong, so that the same
    image may be whole when it is fetched once more."""

    _: KW_ONLY
    damaged: bool = False


class HistoryError(NanoBananaError):
    """The data folder can't be read or written."""


class HistoryLocked(HistoryError):
    """Another program has the history locked."""


@dataclass(eq=False, repr=False)
class GatewayError(NanoBananaError):
    """A call to the gateway failed.

    `request_id`: the gateway's own, empty when none was seen. `attempts`: POSTs made for this call, 0 or more.
    `billed`: `yes`, `no` or `maybe`, by the table in docs/reliability.md. `sure`: whether that is known for
    this call, and not just usual. `answer`: the bytes of an answer in which no image was found,
    `saved`: the file they were saved in.
    """

    _: KW_ONLY
    request_id: str = ""
    attempts: int = 1
    billed: Billed = "no"
    sure: bool = True
    answer: bytes = b""
    saved: str = ""

    @property
    def with_file(self) -> str:
        """The message, and where the answer was saved: errors that differ in that alone count as the same."""
        return f"{self.message} The whole answer is saved in {self.saved}." if self.saved else self.message

    @property
    def text(self) -> str:
        parts = [self.with_file]
        if self.request_id:
            parts.append(f"Request id: {self.request_id}.")
        if self.attempts > 1:
            parts.append(f"Tried {self.attempts} times.")
        parts.append(_BILLED[self.billed] if self.sure else _USUALLY_NOT_BILLED)
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


class Unreachable(GatewayError):
    """DNS, TCP, TLS or proxy failed before the request was sent: never billed."""


@dataclass(eq=False, repr=False)
class TimedOut(GatewayError):
    """`phase`: `connecting`, `uploading`, `waiting`, `streaming` or `downloading`."""

    _: KW_ONLY
    phase: str = ""
    billed: Billed = "maybe"


class StreamBroken(GatewayError):
    """The connection ended after the request was sent and before the answer was whole."""


class BadAnswer(GatewayError):
    """The gateway answered, and the answer holds no image or can't be read."""


@dataclass(eq=False, repr=False)
class StatusError(GatewayError):
    """An error the gateway named. `status`: the HTTP status (200 for an error inside a stream). `code`: its own."""

    _: KW_ONLY
    status: int = 0
    code: str = ""


class BadRequest(StatusError):
    """400, 422 and the codes that mean the same: sending it again changes nothing."""


class ContentRefused(StatusError):
    """Moderation refused the prompt or the image, or the model answered with text only."""


class AuthFailed(StatusError):
    """401, 407, and a 403 that isn't about content or credit."""


class OutOfCredit(StatusError):
    """The balance is used up."""


class NotFound(StatusError):
    """404, 405, 410, a redirect, or no channel has this model."""


class TooLarge(StatusError):
    """413: the body is larger than the gateway takes."""


@dataclass(eq=False, repr=False)
class RateLimited(StatusError):
    """429, 503 and 529: too many calls for now. `retry_after`: seconds the gateway asks for, or None."""

    _: KW_ONLY
    retry_after: float | None = None


class ServerFailed(StatusError):
    """5xx: the gateway or the model behind it failed."""


@dataclass(eq=False, repr=False)
class DownloadFailed(GatewayError):
    """The image exists and is paid for, but could not be fetched. `url`: where it is. `reason`: the last try's."""

    _: KW_ONLY
    url: str = ""
    reason: str = ""
    billed: Billed = "yes"


def _by_cost(billed: Billed) -> int:
    return ("no", "maybe", "yes").index(billed)


def merged(errors: Iterable[NanoBananaError]) -> list[NanoBananaError]:
    """`errors` with those that say the same merged into one, whose request id lists all of theirs.

    Its `billed` is the costliest of theirs.
    """
    groups: dict[tuple[type, str, str], NanoBananaError] = {}
    for error in errors:
        key = (type(error), error.message, error.hint)
        first = groups.get(key)
        if first is None:
            groups[key] = copy.copy(error)
        elif isinstance(first, GatewayError) and isinstance(error, GatewayError):
            first.request_id = ", ".join(part for part in (first.request_id, error.request_id) if part)
            first.billed = max(first.billed, error.billed, key=_by_cost)
    return list(groups.values())


def _again(name: str, args: tuple[Any, ...], values: dict[str, Any]) -> NanoBananaError:
    kind: type[NanoBananaError] = globals()[name]
    error = kind.__new__(kind, *args)
    error.__dict__.update(values)
    error.args = args
    return error


# All kinds of error stand in this module, which `_again` needs. The host's report begins with an error's full name: a
# custom node's module is a path of folders, which says nothing to a person and hides the words behind it.
for _kind in [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, NanoBananaError)]:
    _kind.__module__ = "nanobanana"
