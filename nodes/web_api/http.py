"""From an HTTP request to a function and back: access, JSON, errors in words."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ...nanobanana.errors import ConfigError, HistoryError, InputError, NanoBananaError
from .._host import is_multi_user
from .access import ALLOW_VARIABLE, Refusal, Request, Rules, refusal
from .background import in_thread

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger(__name__)

_MOST_BODY = 256 * 1024
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass(frozen=True)
class Asked:
    """What a route's function gets: the parts of the path, the query, and the JSON object of the body.

    `rules`: those of this process. `may_set`: whether the same browser may read and change settings.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    rules: Rules
    may_set: bool


@dataclass(frozen=True)
class File:
    """An image as an answer. `lasting`: what this address gives never changes."""

    data: bytes
    mime: str
    name: str
    lasting: bool = True


Work = Callable[[Asked], object]
Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Refused(NanoBananaError):
    """A route's function says no, with the HTTP status that fits."""

    def __init__(self, status: int, message: str, hint: str = "", code: str = "refused") -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code


def rules() -> Rules:
    return Rules(multi_user=is_multi_user(), allowed=os.environ.get(ALLOW_VARIABLE, ""))


def described(request: web.Request) -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method, request.remote or "", headers)


def handler(work: Work, *, private: bool = False, shared: bool = False) -> Handler:
    """A handler that asks `refusal` (`private`, `shared`: see there), then runs `work` in a thread of its own.

    `work` gives a JSON value, a `File`, or None for no content. An error of the tree that it raises is answered in
    words.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        submission, now = described(request), rules()
        refused = refusal(submission, now, private=private, shared=shared)
        if refused:
            return _error(refused)
        try:
            body = {} if request.method in ("GET", "HEAD") else await _json_object(request)
            may_set = refusal(replace(submission, method="GET"), now, private=True) is None
            asked = Asked(dict(request.match_info), dict(request.query), body, now, may_set)
            # The answer is made in the thread too: a page of the history is some 100 kB of JSON.
            answer = await in_thread(lambda: _prepared(work(asked)))
            return _response(answer)
        except Refused as error:
            return _error(Refusal(error.status, error.code, error.message, error.hint))
        except NanoBananaError as error:
            # What a person entered and can't be used is an answer like any other: a browser writes every status of
            # 400 and above into the page's console as an error.
            status = 500 if isinstance(error, HistoryError) else 200
            code = "config" if isinstance(error, ConfigError) else "input" if isinstance(error, InputError) else "error"
            return _error(Refusal(status, code, error.message, error.hint))
        except Exception:  # noqa: BLE001
            _log.exception("A NanoBanana route failed")
            return _error(Refusal(500, "unexpected", "Something unexpected went wrong in NanoBanana.", "See the log."))

    return handle


async def _json_object(request: web.Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.content.iter_any():
        data += piece
        if len(data) > _MOST_BODY:
            raise Refused(413, f"The request is larger than {_MOST_BODY // 1024} KiB.")
    try:
        value: object = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise Refused(400, "The request is not valid JSON.") from None
    if not isinstance(value, dict):
        raise Refused(400, "The request is not a JSON object.")
    return cast("dict[str, Any]", value)


def _prepared(answer: object) -> File | bytes | None:
    return (
        answer
        if answer is None or isinstance(answer, File)
        else json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
    )


def _response(answer: File | bytes | None) -> web.Response:
    from aiohttp import web

    if answer is None:
        return web.Response(status=204, headers=_HEADERS)
    if isinstance(answer, bytes):
        return web.Response(body=answer, content_type="application/json", charset="utf-8", headers=_HEADERS)
    headers = {
        **_HEADERS,
        # Whatever a gateway sent: opened in a tab of its own it can run nothing and load nothing.
        "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox",
        "Content-Disposition": f'inline; filename="{answer.name}"',
        "Cache-Control": "private, max-age=31536000, immutable" if answer.lasting else "no-store",
    }
    return web.Response(body=answer.data, content_type=answer.mime, headers=headers)


def _error(refused: Refusal) -> web.Response:
    from aiohttp import web

    words = {"error": {"code": refused.code, "message": refused.message, "hint": refused.hint}}
    return web.json_response(words, status=refused.status, headers=_HEADERS)
