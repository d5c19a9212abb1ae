"""Answers as relays write them, for the tests of the protocol part."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable
from itertools import pairwise

from pack.nanobanana.errors import GatewayError
from pack.nanobanana.gateway.answer.reader import AnswerReader
from pack.nanobanana.gateway.answer.types import Answer, AnswerEvent


def png(seed: int = 0) -> bytes:
    """A whole PNG of 4 x 4 pixels, another one for every seed."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((seed + x * 7 + y * 31) % 256 for x in range(12)) for y in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + b64(data)


def chunk(content: object = None, *, finish: str | None = None, **top: object) -> dict[str, object]:
    """One chat.completion.chunk with `content` in its delta."""
    delta: dict[str, object] = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl_1",
        "object": "chat.completion.chunk",
        "model": "NanoBananaPro-8K",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **top,
    }


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def message(content: object, **fields: object) -> dict[str, object]:
    """A plain JSON answer."""
    return {
        "id": "chatcmpl_2",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **fields}, "finish_reason": "stop"}
        ],
    }


def stream(*payloads: object, end: str = "\n", space: str = " ", done: bool = True) -> bytes:
    """The payloads as server-sent events."""
    lines = "".join(f"data:{space}{json.dumps(payload)}{end}{end}" for payload in payloads)
    return (lines + (f"data:{space}[DONE]{end}{end}" if done else "")).encode()


def read(data: bytes | Iterable[bytes], reader: AnswerReader | None = None) -> tuple[list[AnswerEvent], Answer]:
    """Feed everything and finish."""
    reader = reader or AnswerReader()
    events: list[AnswerEvent] = []
    for piece in [data] if isinstance(data, bytes) else data:
        events.extend(reader.feed(piece))
    return events, reader.finish()


def outcome(data: bytes | Iterable[bytes], reader: AnswerReader | None = None) -> object:
    """The answer, or the words of the error: a value to compare."""
    try:
        return read(data, reader)[1]
    except GatewayError as error:
        return type(error).__name__, str(error)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` cut at `places` (any numbers; taken modulo its length)."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(marks)]
