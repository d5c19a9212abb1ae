"""Reads an answer: bytes in, images out, in any split and any framing, streamed or not. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ...errors import BadAnswer, GatewayError, Log
from .collector import MOST_QUOTED, AnswerCollector
from .links import has_image_signature
from .no_image import cut_off, is_refusal, not_an_answer, without_image
from .partial_json import load, load_partial
from .payload import as_mapping
from .sse import SseDecoder, SseEvent
from .types import MIB, Answer, AnswerEvent, AnswerLimits, ImageData

_log = Log(__name__)

_BOM: Final = b"\xef\xbb\xbf"
_WHITESPACE: Final = b" \t\r\n"
_SSE_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_DONE: Final = b"[DONE]"
_READ_OF_NO_ANSWER: Final = 65_536
# As much of an answer without an image is saved, and of what is neither JSON nor events nor an image.
_MOST_RECEIVED: Final = 64 * MIB
_MOST_OF_OTHER: Final = 2 * MIB
# A line of an event that is longer than a keep-alive: an image is on its way.
_LONG_LINE: Final = 1_024
_SIGNATURE_BYTES: Final = 32


class AnswerReader:
    """One answer with status 200.

    `feed` gives what is new the moment its last byte is there: a stream's images and progress; the images of a
    plain JSON answer come with `finish`. It raises `StatusError` for an error inside the answer (unless an image
    came before it) and `BadAnswer` past a limit; `salvage` may be called after either. `request_id`: from the
    answer's headers.

    A URL that ends a piece of text is given as an uncertain one if it looks whole; `Answer.images` decides.
    """

    def __init__(
        self,
        limits: AnswerLimits | None = None,
        *,
        request_id: str = "",
        key_is_set: bool = True,
        base_url: str = "",
        prompt: str = "",
    ) -> None:
        self._limits = limits or AnswerLimits()
        self._sse: SseDecoder | None = None
        self._kind = ""  # "sse", "json", "image", "other"; empty until the first bytes tell
        self._head: bytes = b""
        self._begun = False
        self._body: list[bytes] = []
        self._size = 0
        self._events = 0
        self._cut = False
        self._received: list[bytes] = []
        self._collector = AnswerCollector(
            self._limits, request_id=request_id, key_is_set=key_is_set, base_url=base_url, prompt=prompt
        )
        self.done = False  # the stream said [DONE]: nothing more will come
        self.idle = False  # the last bytes were keep-alive lines, or events that say nothing

    @property
    def request_id(self) -> str:
        """The gateway's name for this answer: from its headers, else from its body; empty when none was seen."""
        return self._collector.request_id

    @property
    def received(self) -> bytes:
        """The answer as it came, its first 64 MiB; its first 2 MiB if it is of no known kind.

        Empty once an inline image was given, since then nothing can be lost, and if only keep-alive lines came.
        """
        if self._sse is not None and not self._events and not self._sse.unfinished:
            return b""
        return b"".join(self._received)[: self._most_received]

    @property
    def _most_received(self) -> int:
        return _MOST_OF_OTHER if self._kind == "other" else _MOST_RECEIVED

    def feed(self, data: bytes) -> list[AnswerEvent]:
        """Take the next bytes, after decompression."""
        self._size += len(data)
        if self._size > self._limits.total_bytes:
            raise BadAnswer(
                f"The gateway's answer is larger than {self._limits.total_bytes // MIB} MB, so reading it was stopped.",
                "If it happens again, tell the gateway's support.",
                request_id=self.request_id,
                billed="maybe",
            )
        if not self._kind:
            data = self._choose(data, ended=False)
        if self._kind and self._size - len(data) < self._most_received:
            self._received.append(data)
        before = self._collector.news
        events = self._take(data) if self._kind and data else []
        self.idle = self._sse is not None and self._collector.news == before and self._sse.pending < _LONG_LINE
        if any(isinstance(event, ImageData) for event in events):
            self._received.clear()
        return events

    def finish(self) -> Answer:
        """The answer has ended as it should. Raises the error that says why there is no image, if there is none.

        An answer that names a task of the gateway's is returned without images.
        """
        if not self._kind:
            self._received = [self._choose(b"", ended=True)]
            self._take(self._received[0])
        if self._sse is not None:
            for event in self._sse.finish():
                self._read_event(event, last=True)
        elif self._kind == "json":
            self._body = [b"".join(self._body)]
            self._read_json(self._body[0])
            if not self._collector.payloads and not self._cut:
                raise not_an_answer(self._body[0], request_id=self.request_id)
        elif self._kind == "image":
            self._collector.image(ImageData(b"".join(self._body)))
        elif self._body:
            raise not_an_answer(b"".join(self._body), request_id=self.request_id)
        candidates = self._collector.candidates
        candidates.ended = candidates.ended or self.done or self._kind == "json"
        if not self._cut:
            self._collector.finish_texts()
        answer = self._collector.answer(candidates.selected(with_open=self._cut))
        if answer.images or (answer.task and self._collector.error is None):
            return answer
        if self._collector.error is not None:
            raise self._collector.error
        if self._cut:
            raise cut_off(answer)
        guessed = () if is_refusal(answer) else candidates.fallback_links()
        if not guessed:
            raise without_image(answer)
        return replace(self._collector.answer(guessed, guessed=True), received=self.received)

    def salvage(self) -> Answer | None:
        """What there is of an answer that broke off, or None. Nothing may be fed afterwards.

        URLs at the break are given as uncertain; half an image's data is not given.
        """
        try:
            if self._sse is not None:
                self._read_broken(self._sse.unfinished)
            elif self._kind == "json":
                self._read_broken(b"".join(self._body))
        except GatewayError as error:
            _log.debug("the rest of a broken answer says: %s", type(error).__name__)
        for scanner in self._collector.candidates.texts.values() if self.done else ():
            scanner.finish()
        images = self._collector.candidates.selected(with_open=True)
        return replace(self._collector.answer(images), truncated=True) if images else None

    def _choose(self, data: bytes, *, ended: bool) -> bytes:
        """Choose the reader by the first bytes; the bytes to read, empty while the choice is open."""
        head = self._head + data
        if not self._begun:
            if len(head) < len(_BOM) and _BOM.startswith(head) and not ended:
                self._head = head
                return b""
            self._begun = True
            head = head.removeprefix(_BOM)
        head = head.lstrip(_WHITESPACE)
        begun = any(field != head and field.startswith(head) for field in _SSE_FIELDS)
        # Text and JSON show themselves at once, an image only by all of its signature.
        unclear = len(head) < _SIGNATURE_BYTES and not head.startswith((*_SSE_FIELDS, b"{", b"["))
        if not head or (not ended and (begun or unclear)):
            self._head = head
            return b""
        self._head = b""
        if head.startswith(_SSE_FIELDS):
            self._kind = "sse"
            self._sse = SseDecoder(line_bytes=self._limits.line_bytes, event_bytes=self._limits.total_bytes)
        else:
            image = "image" if has_image_signature(head) else "other"
            self._kind = "json" if head.startswith((b"{", b"[")) else image
        return head

    def _take(self, data: bytes) -> list[AnswerEvent]:
        if self._sse is not None:
            events: list[AnswerEvent] = []
            for event in self._sse.feed(data):
                events.extend(self._read_event(event))
            return events
        if self._kind in ("json", "image"):
            self._body.append(data)
        elif data and not self._body:
            self._body.append(data[:_READ_OF_NO_ANSWER])
        elif data and len(self._body[0]) < _READ_OF_NO_ANSWER:
            self._body[0] = (self._body[0] + data)[:_READ_OF_NO_ANSWER]
        return []

    def _read_event(self, event: SseEvent, *, last: bool = False) -> list[AnswerEvent]:
        self._events += 1
        if self._events > self._limits.events:
            raise BadAnswer(
                f"The gateway's answer goes on past {self._limits.events} events, so reading it was stopped.",
                "If it happens again, tell the gateway's support.",
                request_id=self.request_id,
                billed="maybe",
            )
        data = event.data.strip()
        if data == _DONE:
            self.done = True
            return []
        try:
            value = load(data, self._limits)
        except ValueError:
            return self._read_unparsed(event, data, last=last)
        if event.event == "error" and as_mapping(value) is not None:
            value = {"error": value} if "error" not in (as_mapping(value) or {}) else value
        return self._collector.read_value(value)

    def _read_unparsed(self, event: SseEvent, data: bytes, *, last: bool) -> list[AnswerEvent]:
        """An event that isn't JSON: the text of an error, several values in one event, or one that was cut off."""
        lines = [line for line in data.split(b"\n") if line.strip()]
        if len(lines) > 1 and any(
            line.startswith((b"{", b"[")) and line.rstrip().endswith((b"}", b"]")) for line in lines
        ):
            events: list[AnswerEvent] = []
            for line in lines:
                events.extend(self._read_event(SseEvent("", line), last=last))
            return events
        if not last:
            self._collector.broken_event()
        if data.startswith((b"{", b"[")):
            value = load_partial(data, self._limits)
            if value is not None:
                self._cut = self._cut or last
                return self._collector.read_value(value, certain=False)
        text = data[:MOST_QUOTED].decode("utf-8", "replace")
        if event.event == "error":
            return self._collector.read_value({"error": {"message": text}})
        self._collector.add_unparsed(text)
        return []

    def _read_json(self, body: bytes) -> None:
        try:
            self._collector.read_value(load(body, self._limits))
            return
        except ValueError:
            _log.debug("the answer is not one JSON value; trying its lines")
        # Several values, one a line, or events after a first line of JSON.
        lines = SseDecoder(line_bytes=self._limits.line_bytes, event_bytes=self._limits.total_bytes)
        for event in [*lines.feed(body), *lines.finish()]:
            self._read_event(event, last=True)

    def _read_broken(self, data: bytes) -> list[AnswerEvent]:
        if not data.lstrip().startswith((b"{", b"[")):
            return []
        return self._collector.read_value(load_partial(data, self._limits), certain=False)
