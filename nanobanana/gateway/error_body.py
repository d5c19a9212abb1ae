"""Reads the error out of a gateway's body: code, type, message and request id, wherever the relay put them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from .answer.payload import as_list, as_mapping, as_text
from .text import clean, looks_like_page, page_text, safe_id, without_request_id

_MOST_READ: Final = 262_144
_NO_JSON: Final = object()
_DECODER: Final = json.JSONDecoder()
_MESSAGE_KEYS: Final = (
    "message",
    "msg",
    "err",
    "error_msg",
    "error_message",
    "errmsg",
    "detail",
    "fail_reason",
    "failure_reason",
    "finishMessage",
    "blockReasonMessage",
    "blockReason",
    "reason",
    "error",
)
_CODE_KEYS: Final = ("code", "error_code", "errcode", "status_code", "status", "http_status")
_ID_KEYS: Final = ("request_id", "requestId", "req_id", "trace_id", "task_id", "taskId")
# Words that say no more than that something failed: they name nothing.
_NAMELESS: Final = frozenset({"failed", "failure", "fail", "error"})
_FAILED: Final = _NAMELESS | {"cancelled", "canceled", "expired"}
_MOST_BRACES: Final = 8
# Fields that only an answer has, besides `choices` and `media`. A payload that also has an `error` is still an error.
_ANSWER_KEYS: Final = ("data", "images", "usage", "object", "output", "candidates")
_GOOD_CODES: Final = frozenset({"", "ok", "success", "null", "none"})


@dataclass(frozen=True)
class ErrorBody:
    """`code` and `type` in lower case; `number`: the code if it is an HTTP status, else 0.

    `message`: what the gateway says, cleaned, without the request id. `is_page`: it is from a web page.
    """

    code: str = ""
    type: str = ""
    number: int = 0
    message: str = ""
    request_id: str = ""
    is_page: bool = False


def read_body(body: bytes) -> ErrorBody:
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
        return read_error_body(mapping)
    if isinstance(payload, str):
        text = payload
    elif payload is not _NO_JSON:
        return ErrorBody()
    is_page = looks_like_page(text)
    message, request_id = without_request_id(page_text(text) if is_page else text)
    return ErrorBody(message=clean(message), request_id=request_id, is_page=is_page)


def read_error_body(payload: Mapping[str, object]) -> ErrorBody:
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
        code=clean(code, 100),
        type=clean(kind, 100),
        number=number,
        message=clean(message),
        request_id=id_in_message or request_id,
    )


def is_error(payload: Mapping[str, object]) -> bool:
    """Whether a payload of a 200 answer is an error."""
    if payload.get("error") or payload.get("type") == "error":
        return True
    response = as_mapping(payload.get("response"))
    if response is not None and response.get("error"):
        return True
    if any(choice.get("error") for choice in _choices(payload)):
        return True
    if as_text(payload.get("status")).lower() in _FAILED:
        return True
    if any(payload.get(key) for key in ("choices", "media")):
        return False
    # `status` and `message` alone may as well be about the work in progress: {"status": "processing", "message": ...}.
    code, number = _code({key: value for key, value in payload.items() if key not in ("status", "http_status")})
    if number or payload.get("success") is False:
        return True
    named = code not in _GOOD_CODES and bool(_message(payload))
    return named and not any(payload.get(key) for key in _ANSWER_KEYS)


def _choices(payload: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for choice in map(as_mapping, as_list(payload.get("choices"))):
        if choice is not None:
            yield choice


def _first_event(text: str) -> object:
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                return cast("object", json.loads(line[5:]))
            except (ValueError, RecursionError):
                return line[5:]
    return _NO_JSON


def _places(payload: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The objects in which relays put their error, the most specific first."""
    response = as_mapping(payload.get("response"))
    candidates = [
        _inner(payload.get("error")),
        _inner(response.get("error")) if response is not None else None,
        as_mapping(payload.get("header")),
        *(as_mapping(item) for item in as_list(payload.get("errors"))[:1]),
        *(
            _inner(choice.get("error"))
            for choice in map(as_mapping, as_list(payload.get("choices")))
            if choice is not None
        ),
        payload,
        response,
    ]
    detail = as_mapping(payload.get("detail"))
    if detail is not None:
        candidates[1:1] = [_inner(detail.get("error")), detail]
    for place in candidates:
        if place is not None:
            inside = _embedded(_message(place))
            if inside is not None:
                yield from _places(inside)
            yield place


def _inner(error: object) -> Mapping[str, object] | None:
    """`error` as an object."""
    place = as_mapping(error)
    if place is None:
        return {"message": error} if isinstance(error, str) else None
    return place


def _message(place: Mapping[str, object]) -> str:
    for key in _MESSAGE_KEYS:
        value = place.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        for item in as_list(value)[:1]:
            nested = as_mapping(item)
            text = as_text(item) or (as_text(nested.get("msg")) if nested is not None else "")
            if text:
                return text
        nested = as_mapping(value)
        if nested is not None and as_text(nested.get("message")):
            return as_text(nested.get("message"))
    return ""


def _embedded(message: str) -> Mapping[str, object] | None:
    """The error that a relay passed on as JSON inside its own text, such as `b'{"error": {...}}' LiteLLM: ...`."""
    position = -1
    for _ in range(_MOST_BRACES):
        position = message.find("{", position + 1)
        if position < 0:
            return None
        try:
            inside: object = _DECODER.raw_decode(message, position)[0]
        except (ValueError, RecursionError):
            continue
        found = as_mapping(inside)
        if found is not None and (_message(found) or as_mapping(found.get("error"))):
            return found
    return None


def _code(place: Mapping[str, object]) -> tuple[str, int]:
    for key in _CODE_KEYS:
        value = place.get(key)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value).strip().lower() if isinstance(value, (str, int)) else ""
        if not text or len(text) > 200 or text in _NAMELESS:
            continue
        if text.isascii() and text.isdigit():
            number = int(text)
            if 400 <= number <= 599:
                return "", number
            continue
        return text, 0
    return "", 0
