"""From an HTTP request to a function and back: access, JSON, errors, a thread for the work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...nanobanana.errors import ConfigError, HistoryError, InputError, Log, NanoBananaError
from .._host import is_multi_user
from .access import ALLOW_VARIABLE, Denial, Request, Rules, denial

if TYPE_CHECKING:
    from aiohttp import web

_log = Log(__name__)

T = TypeVar("T")

_MOST_BODY = 256 * 1024
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass(frozen=True)
class RouteRequest:
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
    """An image as an answer. `lasting`: what this address serves never changes."""

    data: bytes
    mime: str
    name: str
    lasting: bool = True


Work = Callable[[RouteRequest], object]
Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class RequestFailed(NanoBananaError):
    """Raised by a route's function, with the HTTP status that fits."""

    def __init__(self, status: int, message: str, hint: str = "", code: str = "refused") -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code


def rules() -> Rules:
    return Rules(multi_user=is_multi_user(), allowed=os.environ.get(ALLOW_VARIABLE, ""))


def describe(request: web.Request) -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method, request.remote or "", headers)


def handler(work: Work, *, private: bool = False, shared: bool = False) -> Handler:
    """A handler that asks `denial` (`private`, `shared`: see there), then runs `work` in a thread of its own.

    `work` returns a JSON value, a `File`, or None for no content. A `NanoBananaError` that it raises becomes the
    answer.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        described, now = describe(request), rules()
        denied = denial(described, now, private=private, shared=shared)
        if denied:
            return _error(denied)
        try:
            body = {} if request.method in ("GET", "HEAD") else await _json_object(request)
            may_set = denial(replace(described, method="GET"), now, private=True) is None
            routed = RouteRequest(dict(request.match_info), dict(request.query), body, now, may_set)
            # The answer is made in the thread too: a page of the history is some 100 kB of JSON.
            answer = await in_thread(lambda: _prepared(work(routed)))
            return _response(answer)
        except RequestFailed as error:
            return _error(Denial(error.status, error.code, error.message, error.hint))
        except NanoBananaError as error:
            # Unusable input from a person is answered like anything else: a browser writes every status of 400 and
            # above into the page's console as an error.
            status = 500 if isinstance(error, HistoryError) else 200
            code = "config" if isinstance(error, ConfigError) else "input" if isinstance(error, InputError) else "error"
            return _error(Denial(status, code, error.message, error.hint))
        except Exception:  # noqa: BLE001
            _log.error("A NanoBanana route failed", exc_info=True)
            return _error(Denial(500, "unexpected", "Something unexpected went wrong in NanoBanana.", "See the log."))

    return handle


async def _json_object(request: web.Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.content.iter_any():
        data += piece
        if len(data) > _MOST_BODY:
            raise RequestFailed(413, f"The request is larger than {_MOST_BODY // 1024} KiB.")
    try:
        value: object = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise RequestFailed(400, "The request is not valid JSON.") from None
    if not isinstance(value, dict):
        raise RequestFailed(400, "The request is not a JSON object.")
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
        "Content-Type": answer.mime,
        # Whatever a gateway sent must not run or load anything when opened in a tab of its own.
        "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox",
        "Content-Disposition": f'inline; filename="{answer.name}"',
        "Cache-Control": "private, max-age=31536000, immutable" if answer.lasting else "no-store",
    }
    return web.Response(body=answer.data, headers=headers)


def _error(denied: Denial) -> web.Response:
    from aiohttp import web

    body = {"error": {"code": denied.code, "message": denied.message, "hint": denied.hint}}
    return web.json_response(body, status=denied.status, headers=_HEADERS)


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, or its exception; the thread ends by itself even if nobody waits for it any longer."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        # The loop is closed if the host has quit; the future is cancelled if the page has gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else result())

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            caught = error
            settle(lambda: future.set_exception(caught))
        else:
            settle(lambda: future.set_result(value))

    threading.Thread(target=run, name="nanobanana-route", daemon=True).start()
    return await future
