"""Gathers what the payloads of one answer hold: images, words, progress, errors, and what the answer is called."""

from __future__ import annotations

from typing import Final

from ...errors import StatusError
from ..error_body import read_payload
from ..error_table import error_event
from ..text import clean, safe_id
from .candidates import FoundImages, image_of
from .payload import (
    FieldPiece,
    FinishPiece,
    MediaPiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    as_list,
    as_mapping,
    as_text,
    counts,
    pieces,
)
from .reasoning import ReasoningText, progress_line
from .text_scanner import TextScanner
from .types import Answer, AnswerEvent, AnswerImage, AnswerLimits, ImageData, ImageUrl, Reasoning, Redact

KEPT_WORDS: Final = 2_000
_MOST_TEXTS: Final = 64
# Before the path there are two: a host alone is no image.
_LEAST_SLASHES: Final = 3


class AnswerCollector:
    """The state of one answer, fed with JSON values. `request_id`: that of the answer's headers.

    `payloads`: the JSON objects read. `found`: the images. `error`: the last one that an event named. `odd`: words
    that stand outside of any answer.
    """

    def __init__(self, limits: AnswerLimits, *, request_id: str, key_is_set: bool, redact: Redact) -> None:
        self._limits = limits
        self._header_id = request_id
        self._key_is_set = key_is_set
        self._redact = redact
        self.found = FoundImages(limits.images)
        self.error: StatusError | None = None
        self.payloads = 0
        self.refusal = ""
        self.odd = ""
        self.finish_reason = ""
        self.native_reason = ""
        self._given: set[tuple[str | bytes, bool]] = set()
        self._reasoning = ReasoningText()
        self._id = ""
        self._model = ""
        self._usage: dict[str, object] = {}

    @property
    def request_id(self) -> str:
        """The gateway's name for this answer: of its headers, else of its body; empty when none was seen."""
        return self._header_id or self._id

    def answer(self, images: tuple[AnswerImage, ...]) -> Answer:
        """The answer with these images."""
        return Answer(
            images,
            self._redact(self.found.words()),
            self.finish_reason,
            self._usage,
            self.request_id,
            self._model,
        )

    def add_unparsed(self, words: str) -> None:
        """Keep words that stand outside of any answer, to be quoted when no image comes."""
        self.odd = f"{self.odd} {words}".strip()[:KEPT_WORDS]

    def read_value(self, value: object, *, certain: bool = True) -> list[AnswerEvent]:
        """Take a JSON value; what is new in it.

        `certain` is False for a value that was cut off. Raises `StatusError` for an error, unless an image is there.
        """
        events: list[AnswerEvent] = []
        for item in as_list(value) or (value,):
            payload = as_mapping(item)
            if payload is None:
                self.add_unparsed(as_text(item))
                continue
            self.payloads += 1
            self._id = self._id or self._redact(safe_id(payload.get("id")))
            self._model = self._model or clean(as_text(payload.get("model")), self._redact, 200)
            usage = as_mapping(payload.get("usage"))
            if usage:
                self._usage = counts(usage)
            for piece in pieces(payload):
                events.extend(self._read_piece(piece, certain=certain))
            error = error_event(payload, key_is_set=self._key_is_set, request_id=self.request_id, redact=self._redact)
            if error is not None:
                self.error = error
                if not self.found.selected():
                    raise error
            elif not any(key in payload for key in ("choices", "media", "data")):
                events.extend(self._news(read_payload(payload, self._redact).words))
        return events

    def _news(self, words: str) -> list[AnswerEvent]:
        """Words outside of any answer: shown as progress, and quoted when no image comes."""
        if words:
            self.odd = words[:KEPT_WORDS]
        line = self._reasoning.say(progress_line(words))
        return [Reasoning(line)] if line else []

    def _read_piece(self, piece: Piece, *, certain: bool) -> list[AnswerEvent]:
        if isinstance(piece, TextPiece):
            return self._read_text(piece)
        if isinstance(piece, MediaPiece):
            image = piece.image if certain else _uncertain(piece.image)
            return self._give(image) if self.found.media.add(image) else []
        if isinstance(piece, FieldPiece):
            image = piece.image if certain else _uncertain(piece.image)
            new = self.found.fields.add(image)
            return self._give(image) if new and not self.found.media.items else []
        if isinstance(piece, ReasoningPiece):
            line = self._reasoning.feed(piece.text)
            return [Reasoning(line)] if line else []
        if isinstance(piece, RefusalPiece):
            self.refusal = (self.refusal + piece.text)[:KEPT_WORDS]
            return []
        return self._read_finish(piece)

    def _read_text(self, piece: TextPiece) -> list[AnswerEvent]:
        texts = self.found.texts
        scanner = texts.get(piece.choice)
        if scanner is None:
            if len(texts) >= _MOST_TEXTS:
                return []
            scanner = texts[piece.choice] = TextScanner(
                words_limit=self._limits.text_characters, links_limit=4 * self._limits.images
            )
        events: list[AnswerEvent] = []
        for link in scanner.feed(piece.text):
            sure = link.is_sure if self.found.fields.items else link.is_image
            if sure and not self.found.media.items:
                events.extend(self._give(image_of(link)))
        if scanner.may_end_with(piece.text):
            events.extend(self._give_open(scanner))
        return events

    def _read_finish(self, piece: FinishPiece) -> list[AnswerEvent]:
        self.finish_reason = clean(piece.reason, self._redact, 100)
        self.native_reason = clean(piece.native, self._redact, 100)
        events: list[AnswerEvent] = []
        for choice, scanner in self.found.texts.items():
            if choice[0] == piece.choice:
                events.extend(self._give_open(scanner))
        return events

    def _give_open(self, scanner: TextScanner) -> list[AnswerEvent]:
        link = self.found.open_image(scanner)
        if link is None or link.url.count("/") < _LEAST_SLASHES:
            return []
        return self._give(image_of(link, certain=False))

    def _give(self, image: AnswerImage) -> list[AnswerEvent]:
        """The event of an image, unless it was given before."""
        if isinstance(image, ImageData):
            key: tuple[str | bytes, bool] = (image.data, True)
        else:
            key = (image.url, image.certain)
        if key in self._given or (key[0], True) in self._given or len(self._given) >= 4 * self._limits.images:
            return []
        self._given.add(key)
        return [image]


def _uncertain(image: AnswerImage) -> AnswerImage:
    return ImageUrl(image.url, certain=False) if isinstance(image, ImageUrl) else image
