"""How an answer's events become bytes: every framing of server-sent events that relays of this kind are seen to use.

Framings add up: `framing_crlf` with `framing_bom` and `framing_no_space` is one stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pack.nanobanana.simulator.answers import Identity, delta, envelope

from .answers import Chunk

DONE = "[DONE]"


@dataclass(frozen=True)
class Piece:
    """Bytes that are sent together, `delay` seconds after what came before them."""

    data: bytes
    bearing: bool = False
    delay: float = 0.0
    event: bool = True


@dataclass(frozen=True)
class Framing:
    """How events are written; the defaults are the plainest stream."""

    newline: str = "\n"
    space: str = " "
    byte_order_mark: bool = False
    final_blank_line: bool = True
    content_type: str = "text/event-stream; charset=utf-8"
    compressed: bool = False
    plain: str = ""
    comments: bool = False
    empty_data: bool = False
    usage: bool = False
    empty_first: bool = False
    done: bool = True
    byte_by_byte: bool = False
    event_fields: bool = False
    many_lines: bool = False
    leading_blank_lines: bool = False
    escaped: bool = False
    transfer: str = "chunked"
    joined: bool = False


FRAMINGS: dict[str, tuple[Callable[[Framing], Framing], str]] = {
    "framing_lf": (lambda f: f, "lines end in LF"),
    "framing_crlf": (lambda f: replace(f, newline="\r\n"), "lines end in CRLF"),
    "framing_cr": (lambda f: replace(f, newline="\r"), "lines end in CR"),
    "framing_no_space": (lambda f: replace(f, space=""), "no space behind data:"),
    "framing_bom": (lambda f: replace(f, byte_order_mark=True), "a byte-order mark before the first event"),
    "framing_no_final_blank_line": (
        lambda f: replace(f, final_blank_line=False),
        "nothing behind the last event's line, not even its newline",
    ),
    "framing_text_plain": (lambda f: replace(f, content_type="text/plain"), "Content-Type text/plain"),
    "framing_json_type": (lambda f: replace(f, content_type="application/json"), "Content-Type application/json"),
    "framing_html_type": (lambda f: replace(f, content_type="text/html"), "Content-Type text/html"),
    "framing_no_type": (lambda f: replace(f, content_type=""), "no Content-Type"),
    "framing_gzip": (lambda f: replace(f, compressed=True), "Content-Encoding: gzip"),
    "framing_plain_json": (lambda f: replace(f, plain="whole"), "plain JSON answered to stream: true"),
    "framing_lone_chunk": (lambda f: replace(f, plain="chunk"), "a lone chat.completion.chunk as plain JSON"),
    "framing_comments": (lambda f: replace(f, comments=True), "comment lines between events"),
    "framing_empty_data": (lambda f: replace(f, empty_data=True), "empty data: events between events"),
    "framing_usage": (lambda f: replace(f, usage=True), "chunks with choices: [] before and behind the answer"),
    "framing_empty_first": (lambda f: replace(f, empty_first=True), "an empty chunk opens the stream"),
    "framing_no_done": (lambda f: replace(f, done=False), "no data: [DONE]"),
    "framing_byte_by_byte": (lambda f: replace(f, byte_by_byte=True), "one byte a packet"),
    "framing_event_fields": (lambda f: replace(f, event_fields=True), "event:, id: and retry: lines before data:"),
    "framing_many_lines": (lambda f: replace(f, many_lines=True), "one event's JSON over several data: lines"),
    "framing_leading_blank_lines": (lambda f: replace(f, leading_blank_lines=True), "blank lines before the stream"),
    "framing_escaped": (lambda f: replace(f, escaped=True), "JSON with \\/ and \\u escapes"),
    "framing_close_delimited": (
        lambda f: replace(f, transfer="close"),
        "neither length nor chunks: the connection's end ends the answer",
    ),
    "framing_content_length": (lambda f: replace(f, transfer="length"), "a stream with a Content-Length"),
    "framing_joined": (lambda f: replace(f, joined=True), "the whole stream in one packet"),
}


def compose(names: Iterable[str]) -> Framing:
    """All the named framings together."""
    framing = Framing()
    for name in names:
        framing = FRAMINGS[name][0](framing)
    return framing


def stream(framing: Framing, events: list[Chunk], identity: Identity) -> list[Piece]:
    """The stream's bytes, one piece an event."""
    pieces: list[Piece] = []
    if framing.leading_blank_lines:
        pieces.append(Piece((framing.newline * 3).encode(), event=False))
    if framing.empty_first:
        pieces.append(Piece(_event(framing, _dump(framing, delta(identity, {"role": "assistant", "content": ""})))))
    for chunk in _with_usage(framing, events, identity):
        if framing.comments:
            pieces.append(Piece(f": PING{framing.newline}{framing.newline}".encode(), event=False))
        if framing.empty_data:
            pieces.append(Piece(f"data:{framing.newline}{framing.newline}".encode(), event=False))
        if chunk.raw is not None:
            pieces.append(Piece(chunk.raw, chunk.bearing, chunk.delay, event=not chunk.raw.startswith(b":")))
        else:
            pieces.append(Piece(_event(framing, _dump(framing, chunk.payload)), chunk.bearing, chunk.delay))
    if framing.done:
        pieces.append(Piece(_event(framing, DONE)))
    if pieces and not framing.final_blank_line:
        ending = (framing.newline * 2).encode()
        pieces[-1] = replace(pieces[-1], data=pieces[-1].data.removesuffix(ending))
    if pieces and framing.byte_order_mark:
        pieces[0] = replace(pieces[0], data=b"\xef\xbb\xbf" + pieces[0].data)
    return pieces


def plain(framing: Framing, events: list[Chunk], answer: dict[str, object]) -> list[Piece]:
    """The answer as one JSON document: `answer`, or for a lone chunk the event that bears the image."""
    value = answer
    if framing.plain == "chunk":
        value = next((chunk.payload for chunk in reversed(events) if chunk.bearing), answer)
    text = _dump(framing, value)
    return [Piece(("\ufeff" * framing.byte_order_mark + text).encode(), bearing=True)]


def _with_usage(framing: Framing, events: list[Chunk], identity: Identity) -> list[Chunk]:
    if not framing.usage:
        return events
    usage = {"prompt_tokens": 258, "completion_tokens": 1290, "total_tokens": 1548}
    chunk = Chunk({**envelope(identity, "chat.completion.chunk"), "choices": [], "usage": usage})
    return [chunk, *events, chunk]


def _dump(framing: Framing, value: object) -> str:
    if framing.many_lines:
        return json.dumps(value, indent=1, ensure_ascii=framing.escaped)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=framing.escaped)
    return text.replace("/", "\\/") if framing.escaped else text


def _event(framing: Framing, text: str) -> bytes:
    lines = [f"data:{framing.space}{line}" for line in text.split("\n")]
    if framing.event_fields:
        lines = ["event:" + framing.space + "message", "id: 7", "retry: 3000", *lines]
    return (framing.newline.join(lines) + framing.newline * 2).encode()
