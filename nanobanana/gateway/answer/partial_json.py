"""JSON that may be hostile or cut off: measured before it is parsed, and closed where a broken stream left it open."""

from __future__ import annotations

import json
import re
from typing import Final, cast

from ...errors import BadAnswer
from .types import AnswerLimits

_TOKEN: Final = re.compile(rb'\\.|["{}\[\],]', re.DOTALL)
_TOKENS_PER_VALUE: Final = 8
# Removed before signs are counted: one pass over the many megabytes of an image instead of one for each sign.
_NO_SIGNS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= "
_CLOSES: Final = {b"{": b"}", b"[": b"]"}


def load(data: bytes, limits: AnswerLimits) -> object:
    """The JSON value of `data`. Raises ValueError if it isn't JSON, `BadAnswer` if it is over a limit.

    The limits are checked first: a hundred megabytes of `[[],[],...` parse to gigabytes, and deep nesting ends in
    a RecursionError or, in a thread with a small stack, worse.
    """
    signs = data.translate(None, _NO_SIGNS)
    if _is_wide(signs, limits):
        raise _over(f"more than {limits.json_values} values")
    if _brackets(signs) > limits.json_depth and _depth(data) > limits.json_depth:
        raise _over(f"JSON nested more than {limits.json_depth} deep")
    try:
        return cast("object", json.loads(data))
    except RecursionError:
        raise _over("JSON nested too deep") from None


def _over(what: str) -> BadAnswer:
    return BadAnswer(
        f"The gateway's answer holds {what}, so it was not read.",
        "Check that the base URL is that of an OpenAI-compatible gateway.",
        billed="maybe",
    )


def _is_wide(signs: bytes, limits: AnswerLimits) -> bool:
    """Whether JSON with these signs may hold more values than allowed, or more tokens than are worth a look.

    Base64 holds neither brackets nor commas; in JSON some encoders write its slashes as `\\/`, one character in 64.
    """
    tokens = signs.count(b'"') + signs.count(b"\\")
    return _brackets(signs) + signs.count(b",") > limits.json_values or tokens > _TOKENS_PER_VALUE * limits.json_values


def _brackets(signs: bytes) -> int:
    return signs.count(b"[") + signs.count(b"{")


def _depth(data: bytes) -> int:
    depth = deepest = 0
    in_string = False
    for match in _TOKEN.finditer(data):
        token = match.group()
        if token == b'"':
            in_string = not in_string
        elif in_string:
            continue
        elif token in _CLOSES:
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"}]":
            depth -= 1
    return deepest


def load_partial(data: bytes, limits: AnswerLimits) -> object:
    """The value that `data`, JSON cut off anywhere, begins with; None when nothing can be made of it.

    A string that was cut is kept only if it holds words or a URL: half a base64 text is no image.
    """
    if _is_wide(data.translate(None, _NO_SIGNS), limits):
        return None
    stack: list[bytes] = []
    in_string = False
    string_start = 0
    safe = (0, b"")  # where the last whole value ends, and what closes the text there
    for match in _TOKEN.finditer(data, 0, _last_sign(data)):
        token = match.group()
        if token == b'"':
            in_string = not in_string
            string_start = match.end()
        elif in_string or token.startswith(b"\\"):
            continue
        elif token == b",":
            safe = (match.start(), _closers(stack))
        elif token in _CLOSES:
            stack.append(_CLOSES[token])
            safe = (match.end(), _closers(stack))
        elif stack and stack.pop() == token:
            safe = (match.end(), _closers(stack))
        else:
            return None
        if len(stack) > limits.json_depth:
            return None
    candidates = [data[: safe[0]] + safe[1]]
    if in_string:
        cut = re.sub(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z", b"", data[string_start:])
        kept = b"" if b" " not in cut and b":/" not in cut and b":\\/" not in cut else cut
        candidates.insert(0, data[:string_start] + kept + b'"' + _closers(stack))
    else:
        candidates.insert(0, data + _closers(stack))
    for candidate in candidates:
        try:
            return load(candidate.decode("utf-8", "ignore").encode(), limits)
        except (ValueError, BadAnswer):
            continue
    return None


def _last_sign(data: bytes) -> int:
    """Where the last sign of `data` ends: half an image's base64 after it is megabytes that need no search."""
    quote = data.rfind(b'"') + 1
    return len(data) if data[quote:].translate(None, _NO_SIGNS) else quote


def _closers(stack: list[bytes]) -> bytes:
    return b"".join(reversed(stack))
