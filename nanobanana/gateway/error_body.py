"""Reads the error out of a gateway's body: code, type, message and request id, wherever the relay put them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from .answer.payload import as_list, as_mapping, as_text
from .answer.types import Redact
from .text import clean, looks_like_page, page_text, safe_id, without_request_id

_MOST_READ: Final = 262_144
_NO_JSON: Final = object()
_MESSAGE_KEYS: Final = ("message", "msg", "err", "error_msg", "error_message", "errmsg", "detail", "reason", "error")
_CODE_KEYS: Final = ("code", "error_code", "errcode", "status_code", "status", "http_status")
_ID_KEYS: Final = ("request_id", "requestId", "req_id", "trace_id")
# Fields that only an answer has, beside `choices` and `media`. With an `error` beside them it is still an error.
_ANSWER_KEYS: Final = ("data", "images", "usage", "object", "output", "candidates")
_GOOD_CODES: Final = frozenset({"", "ok", "success", "null", "none"})


@dataclass(frozen=True)
class ErrorBody:
    """`code` and `type` in lower case; `number`: the code where it is an HTTP status, else 0.

    `message`: what the gateway says, cleaned, without the request id. `is_page`: it comes from a web page.
    """

    code: str = ""
    type: str = ""
    number: int = 0
    message: str = ""
    request_id: str = ""
    is_page: bool = False


def read_body(body: bytes, redact: Redact) -> ErrorBody:
    """The error in an HTTP answer's body; an empty one if the body says nothing."""
    text = body[:_MOST_READ].decode("utf-8", "replace")
    payload: object = _NO_JSON
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"', "null")):
        try:
            payload = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            payload = _NO_JSON
    elif text.lstrip("\ufeff \t\r\n").startswith(("data:", "event:", ":")):
        payload = _first_event(text)
    items = as_list(payload)
    if items:
        payload = items[0]
    mapping = as_mapping(payload)
    if mapping is not None:
        return read_error_body(mapping, redact)
    if isinstance(payload, str):
        text = payload
    elif payload is not _NO_JSON:
        return ErrorBody()
    is_page = looks_like_page(text)
    message, request_id = without_request_id(page_text(text) if is_page else text)
    return ErrorBody(message=clean(message, redact), request_id=redact(request_id), is_page=is_page)


def read_error_body(payload: Mapping[str, object], redact: Redact) -> ErrorBody:
    """The error of a JSON object."""
    code = kind = request_id = message = ""
    number = 0
    for place in _places(payload):
        message = message or _message(place)
        found_code, found_number = _code(place)
        code = code or found_code
        number = number or found_number
        kind = kind or as_text(place.get("type")).strip().lower()
        request_id = request_id or next((found for key in _ID_KEYS if (found := safe_id(place.get(key)))), "")
    message, id_in_message = without_request_id(message)
    if looks_like_page(message):
        message = page_text(message)
    return ErrorBody(
        code=clean(code, redact, 100),
        type=clean(kind, redact, 100),
        number=number,
        message=clean(message, redact),
        request_id=redact(id_in_message or request_id),
    )


def is_error(payload: Mapping[str, object]) -> bool:
    """Whether a payload of a 200 answer is an error."""
    if payload.get("error") or payload.get("type") == "error":
        return True
    response = as_mapping(payload.get("response"))
    if response is not None and response.get("error"):
        return True
    if any(payload.get(key) for key in ("choices", "media")):
        return False
    # `status` and `message` alone may as well be about the work in progress: {"status": "processing", "message": ...}.
    code, number = _code({key: value for key, value in payload.items() if key not in ("status", "http_status")})
    if number or payload.get("success") is False:
        return True
    named = code not in _GOOD_CODES and bool(_message(payload))
    return named and not any(payload.get(key) for key in _ANSWER_KEYS)


def _first_event(text: str) -> object:
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                return cast("object", json.loads(line[5:]))
            except (ValueError, RecursionError):
                return line[5:]
    return _NO_JSON


def _places(payload: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The objects in which relays put their error, the most telling first."""
    response = as_mapping(payload.get("response"))
    candidates = [
        _inner(payload.get("error")),
        _inner(response.get("error")) if response is not None else None,
        as_mapping(payload.get("header")),
        *(as_mapping(item) for item in as_list(payload.get("errors"))[:1]),
        payload,
        response,
    ]
    for place in candidates:
        if place is not None:
            yield place


def _inner(error: object) -> Mapping[str, object] | None:
    """`error` as an object. Relays hand an upstream's error on as JSON text inside their own message."""
    place = as_mapping(error)
    if place is None:
        return {"message": error} if isinstance(error, str) else None
    return place


def _message(place: Mapping[str, object]) -> str:
    for key in _MESSAGE_KEYS:
        value = place.get(key)
        if isinstance(value, str) and value.strip():
            return _unwrapped(value.strip())
        for item in as_list(value)[:1]:
            nested = as_mapping(item)
            text = as_text(item) or (as_text(nested.get("msg")) if nested is not None else "")
            if text:
                return text
        nested = as_mapping(value)
        if nested is not None and as_text(nested.get("message")):
            return as_text(nested.get("message"))
    return ""


def _unwrapped(message: str) -> str:
    if message.startswith("{") and len(message) < _MOST_READ:
        try:
            inner = as_mapping(json.loads(message))
        except (ValueError, RecursionError):
            return message
        if inner is not None:
            error = as_mapping(inner.get("error"))
            text = as_text((error or inner).get("message")).strip()
            return text or message
    return message


def _code(place: Mapping[str, object]) -> tuple[str, int]:
    for key in _CODE_KEYS:
        value = place.get(key)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value).strip().lower() if isinstance(value, (str, int)) else ""
        if not text or len(text) > 200:
            continue
        if text.isascii() and text.isdigit():
            number = int(text)
            if 400 <= number <= 599:
                return "", number
            continue
        return text, 0
    return "", 0
