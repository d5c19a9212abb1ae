"""Server-sent events: bytes in, events out. No I/O, time linear in the bytes, in any split.

Follows the WHATWG specification ("Interpreting an event stream") after a byte-order mark, which the reader removes,
with three liberties that relays of this kind need:

- an event without its closing blank line is delivered by `finish` (the specification drops it);
- two `data:` lines that can't be parts of one JSON value (`...}` followed by `{...` or `[DONE]`) are two events: some
  relays put one line break between events;
- a line that begins with `{` is an event of its own: errors are seen written into the stream without `data:`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...errors import BadAnswer
from .types import MIB

# A } can't be followed by { or [ inside one JSON value: values in an array or object are separated by commas.
_VALUE_ENDS: Final = b"}"
_VALUE_BEGINS: Final = (b"{", b"[")


@dataclass(frozen=True)
class SseEvent:
    """One event. `event`: its type, empty when none was given. `data`: its lines, joined with LF, undecoded."""

    event: str
    data: bytes


class SseDecoder:
    """An incremental decoder; `feed` returns the events whose last byte has arrived.

    `line_bytes` and `event_bytes` (bytes) bound what is held; past them `feed` raises `BadAnswer`.
    """

    def __init__(self, *, line_bytes: int = 160 * MIB, event_bytes: int = 192 * MIB) -> None:
        self._line_limit = line_bytes
        self._event_limit = event_bytes
        self._line: list[bytes] = []
        self._line_size = 0
        self._after_cr = False
        self._event = ""
        self._data: list[bytes] = []
        self._data_size = 0
        self._failure: BadAnswer | None = None

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes, any number of them.

        Events that were whole before the limit was reached are still returned; the next call raises.
        """
        if self._failure is not None:
            raise self._failure
        events: list[SseEvent] = []
        try:
            self._take(data, events)
        except BadAnswer as failure:
            if not events:
                raise
            self._failure = failure
        return events

    def finish(self) -> list[SseEvent]:
        """The stream has ended: deliver what lacks its line end or its blank line."""
        if self._failure is not None:
            raise self._failure
        events: list[SseEvent] = []
        if self._line_size:
            self._end_line(events)
        self._dispatch(events)
        return events

    @property
    def pending(self) -> int:
        """Bytes of the event that has begun but not ended."""
        return self._line_size + self._data_size

    @property
    def unfinished(self) -> bytes:
        """The data of the event that has begun but not ended, to salvage a broken stream."""
        line = b"".join(self._line)
        parts = list(self._data)
        if line.startswith(b"{"):
            parts = [line]
        elif line.startswith(b"data:"):
            parts.append(_value(line[5:]))
        return b"\n".join(parts)

    def _take(self, data: bytes, events: list[SseEvent]) -> None:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return
        # bytes.splitlines knows LF, CR and CRLF only, which are the three line ends of the specification.
        for piece in data.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n") if piece.endswith((b"\n", b"\r")) else None
            if line is None:
                self._hold(piece)
            else:
                self._hold(line)
                self._end_line(events)
        self._after_cr = data.endswith(b"\r")

    def _hold(self, piece: bytes) -> None:
        self._line_size += len(piece)
        if self._line_size > self._line_limit:
            raise _over("a line", self._line_limit)
        if piece:
            self._line.append(piece)

    def _end_line(self, events: list[SseEvent]) -> None:
        line = b"".join(self._line) if len(self._line) != 1 else self._line[0]
        self._line.clear()
        self._line_size = 0
        if not line:
            self._dispatch(events)
        elif line.startswith(b"data:"):
            self._add(_value(line[5:]), events)
        elif line.startswith(b"{"):
            self._dispatch(events)
            self._add(line, events)
            self._dispatch(events)
        elif line.startswith(b"event:"):
            self._event = _value(line[6:]).decode("utf-8", "replace")[:200]
        # Comments, id:, retry: and unknown fields say nothing about the answer.

    def _add(self, value: bytes, events: list[SseEvent]) -> None:
        if value.startswith(_VALUE_BEGINS) and self._data and self._data[-1].rstrip().endswith(_VALUE_ENDS):
            self._dispatch(events)
        self._data_size += len(value) + 1
        if self._data_size > self._event_limit:
            raise _over("an event", self._event_limit)
        self._data.append(value)

    def _dispatch(self, events: list[SseEvent]) -> None:
        data = b"\n".join(self._data) if len(self._data) != 1 else self._data[0]
        # An empty `data:` is a keep-alive; so is an event without data, unless its type says that something failed.
        if data.strip() or self._event == "error":
            events.append(SseEvent(self._event, data))
        self._event = ""
        self._data.clear()
        self._data_size = 0


def _value(rest: bytes) -> bytes:
    """A field's value: what follows the colon, less one space."""
    return rest[1:] if rest.startswith(b" ") else rest


def _over(what: str, limit: int) -> BadAnswer:
    return BadAnswer(
        f"The gateway's answer holds {what} of more than {limit // MIB} MB, so reading it was stopped.",
        "If it happens again, tell the gateway's support.",
        billed="maybe",
    )
