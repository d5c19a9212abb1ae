"""Answers that attack their reader: streams and lines without end, bombs, depths."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache

from .answers import Identity, delta
from .framing import Piece

_EVENT_STREAM = "text/event-stream"
_JSON = "application/json"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _endless_stream(identity: Identity) -> Iterator[Piece]:
    event = _event(delta(identity, {"reasoning_content": "\u8fdb\u5ea6 45%"}))
    return (Piece(event * 64) for _ in itertools.count())


def _endless_comments(_: Identity) -> Iterator[Piece]:
    return (Piece(b": PING\n\n" * 4096) for _ in itertools.count())


def _endless_text(identity: Identity) -> Iterator[Piece]:
    event = _event(delta(identity, {"content": "no image yet " * 512}))
    return (Piece(event * 4) for _ in itertools.count())


def _endless_line(_: Identity) -> Iterator[Piece]:
    return itertools.chain([Piece(b'data: {"choices":[{"delta":{"content":"')], itertools.repeat(Piece(b"A" * 65536)))


def _endless_data_lines(_: Identity) -> Iterator[Piece]:
    return itertools.repeat(Piece(b"data: AAAAAAAAAAAAAAAAAAAAAAAA\n" * 2048))


def _endless_json(_: Identity) -> Iterator[Piece]:
    return itertools.chain([Piece(b'{"choices":[{"message":{"content":"')], itertools.repeat(Piece(b"A" * 65536)))


def _endless_silence(_: Identity) -> Iterator[Piece]:
    return itertools.chain([Piece(b": PING\n\n")], itertools.repeat(Piece(b": PING\n\n", delay=5.0)))


def _drip(identity: Identity) -> Iterator[Piece]:
    event = _event(delta(identity, {"content": "x" * 4096}))
    return (Piece(bytes([byte]), delay=1.0) for byte in itertools.cycle(event))


@lru_cache(maxsize=1)
def gzip_bomb() -> bytes:
    """64 MiB of blanks as one gzip member of about 64 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(b" " * (64 << 20)) + packer.flush()


def _gzip_bomb(_: Identity) -> Iterator[Piece]:
    return itertools.repeat(Piece(gzip_bomb()), 64)


def _deep_json(_: Identity) -> Iterator[Piece]:
    deep = '{"choices":' * 2000 + "1" + "}" * 2000
    return iter([Piece(f"data: {deep}\n\ndata: [DONE]\n\n".encode())])


def _deep_lists(_: Identity) -> Iterator[Piece]:
    return iter([Piece(b"data: " + b"[" * 200_000 + b"]" * 200_000 + b"\n\ndata: [DONE]\n\n")])


def _many_urls(identity: Identity) -> Iterator[Piece]:
    urls = [f"http://nowhere.invalid/output/{number}.png" for number in range(5000)]
    chunk = {**delta(identity, {"content": "\n".join(urls)}, "stop"), "media": {"outputs": urls}}
    return iter([Piece(_event(chunk)), Piece(b"data: [DONE]\n\n")])


def _huge_numbers(_: Identity) -> Iterator[Piece]:
    text = b'data: {"created":1e999,"id":' + b"9" * 6000 + b',"choices":[{"index":NaN,"delta":{"content":Infinity}}]}'
    return iter([Piece(text + b"\n\ndata: [DONE]\n\n")])


def _invalid_utf8(_: Identity) -> Iterator[Piece]:
    text = (
        b'data: {"choices":[{"delta":{"content":"\xff\xfe\xc3\x28 no picture \xf0\x28\x8c"},"finish_reason":"stop"}]}'
    )
    return iter([Piece(text + b"\n\ndata: [DONE]\n\n")])


def _lone_surrogate(identity: Identity) -> Iterator[Piece]:
    chunk = delta(identity, {"content": "\ud800 no image \udfff"}, "stop")
    return iter([Piece(_event(chunk)), Piece(b"data: [DONE]\n\n")])


def _wrong_types(_: Identity) -> Iterator[Piece]:
    values: list[object] = [
        None,
        7,
        "text",
        [],
        {"choices": None},
        {"choices": {"0": {}}},
        {"choices": [None, 3, "x", []]},
        {"choices": [{"delta": 5}]},
        {"choices": [{"delta": {"content": 5, "images": 7, "image": []}}]},
        {"choices": [{"delta": {"content": [1, None, {"type": "image_url", "image_url": 3}]}}]},
        {"media": {"outputs": {"a": 1}}},
        {"media": {"outputs": [None, 4, {}]}},
        {"media": []},
        {"data": [None, {"b64_json": 3}, {"url": []}]},
        {"error": None},
    ]
    return iter([Piece(_event(value)) for value in values] + [Piece(b"data: [DONE]\n\n")])


def _not_json(_: Identity) -> Iterator[Piece]:
    return iter([Piece(b"data: {not json at all\n\n"), Piece(b"data: [DONE]\n\n")])


def _html_in_200(_: Identity) -> Iterator[Piece]:
    return iter([Piece(b"<!DOCTYPE html><html><title>One moment, please</title><body>captcha</body></html>")])


def _binary(_: Identity) -> Iterator[Piece]:
    return iter([Piece(bytes(range(256)) * 64)])


Hostile = Callable[[Identity], Iterator[Piece]]

ANSWERS: dict[str, tuple[Hostile, str, str]] = {
    "hostile_endless_stream": (_endless_stream, _EVENT_STREAM, "progress events without end"),
    "hostile_endless_comments": (_endless_comments, _EVENT_STREAM, "comments without end"),
    "hostile_endless_text": (_endless_text, _EVENT_STREAM, "text without end and without an image"),
    "hostile_endless_line": (_endless_line, _EVENT_STREAM, "one data: line without end"),
    "hostile_endless_event": (_endless_data_lines, _EVENT_STREAM, "one event of data: lines without end"),
    "hostile_endless_json": (_endless_json, _JSON, "a plain JSON answer without end"),
    "hostile_endless_waiting": (_endless_silence, _EVENT_STREAM, "a keep-alive comment every 5 s, and nothing else"),
    "hostile_drip": (_drip, _EVENT_STREAM, "one byte a second"),
    "hostile_gzip_bomb": (_gzip_bomb, _EVENT_STREAM, "gzip: 4 MB that unpack to 4 GiB"),
    "hostile_deep_json": (_deep_json, _EVENT_STREAM, "JSON 2,000 levels deep"),
    "hostile_deep_lists": (_deep_lists, _EVENT_STREAM, "JSON lists 200,000 levels deep"),
    "hostile_many_urls": (_many_urls, _EVENT_STREAM, "5,000 result URLs"),
    "hostile_huge_numbers": (_huge_numbers, _EVENT_STREAM, "1e999, NaN, and an integer of 6,000 digits"),
    "hostile_invalid_utf8": (_invalid_utf8, _EVENT_STREAM, "bytes that are no UTF-8"),
    "hostile_lone_surrogate": (_lone_surrogate, _EVENT_STREAM, "lone surrogates in JSON escapes"),
    "hostile_wrong_types": (_wrong_types, _EVENT_STREAM, "every key with a value of the wrong type"),
    "hostile_not_json": (_not_json, _EVENT_STREAM, "an event that is no JSON"),
    "hostile_html": (_html_in_200, "text/html", "200 with an HTML page"),
    "hostile_binary": (_binary, "application/octet-stream", "bytes that are no text"),
}

RAW: dict[str, tuple[bytes, str]] = {
    "hostile_not_http": (b"\x16\x03\x01\x02\x00\x01garbage\r\n\r\n", "no HTTP at all"),
    "hostile_status_line": (b"HTTP/1.1 abc What\r\nContent-Length: 0\r\n\r\n", "a status that is no number"),
    "hostile_long_header": (
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
        "a header of 200,000 bytes",
    ),
    "hostile_many_headers": (
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"Content-Length: 0\r\n\r\n",
        "500 headers",
    ),
    "hostile_bad_chunk": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ndata: {}\r\n",
        "a chunk whose length is no number",
    ),
    "hostile_bad_gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\n"
        b"data: not gzip",
        "Content-Encoding: gzip around plain text",
    ),
}
"""Answers sent as they stand, status line and all."""
