"""Where the pieces of an answer are in its JSON: one payload in, its texts, images and reasoning out.

Takes a chunk of a stream and a whole answer alike; everything may be missing or of another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from .data_urls import read_image
from .types import AnswerImage

# In the order of preference: what came inside can't fail to download any more.
_VALUE_KEYS: Final = (
    "b64_json",
    "base64",
    "inline_data",
    "inlineData",
    "data",
    "url",
    "image_url",
    "image",
    "source",
    "file_url",
)
_MOST_NESTED: Final = 4
_MOST_COUNTS: Final = 50
# Also keeps NaN, infinity and integers that no database takes out.
_LARGEST_COUNT: Final = 2**53
# Beside every type with "image" in its name.
_IMAGE_TYPES: Final = ("", "inline_data", "inlinedata", "media", "picture")


@dataclass(frozen=True)
class TextPiece:
    """A piece of the text `choice` (its index and whether it came as delta or message)."""

    choice: tuple[int, str]
    text: str


@dataclass(frozen=True)
class MediaPiece:
    """An image of the top-level `media.outputs`, which all others stand back for."""

    image: AnswerImage


@dataclass(frozen=True)
class FieldPiece:
    """An image of a field that is meant for images."""

    image: AnswerImage


@dataclass(frozen=True)
class ReasoningPiece:
    """Words of the model's thinking. Drafts in them are no images."""

    text: str


@dataclass(frozen=True)
class RefusalPiece:
    """Words of the field in which a model says why it won't."""

    text: str


@dataclass(frozen=True)
class FinishPiece:
    """The choice has ended, and why. `native`: the same in the words of the model's own maker."""

    choice: int
    reason: str
    native: str = ""


Piece = TextPiece | MediaPiece | FieldPiece | ReasoningPiece | RefusalPiece | FinishPiece


def as_mapping(value: object) -> Mapping[str, object] | None:
    """`value` as a JSON object, or None."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> Sequence[object]:
    """`value` as a JSON array; anything else is an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else ()


def as_text(value: object) -> str:
    """`value` as a string; anything else is an empty one."""
    return value if isinstance(value, str) else ""


def counts(usage: Mapping[str, object], depth: int = 0) -> dict[str, object]:
    """The numbers of a `usage` object and of the objects in it; at most 50 each, nothing but numbers."""
    found: dict[str, object] = {}
    for key, value in usage.items():
        inner = as_mapping(value)
        if len(found) >= _MOST_COUNTS:
            break
        if inner is not None and depth == 0:
            found[key[:100]] = counts(inner, depth + 1)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_COUNT:
            found[key[:100]] = value
    return found


def pieces(payload: Mapping[str, object]) -> Iterator[Piece]:
    """The pieces of one payload, in the order in which they count."""
    media = as_mapping(payload.get("media"))
    if media is not None:
        outputs = media.get("outputs")
        for value in as_list(outputs) or (outputs,):
            for found in images_in(value):
                yield MediaPiece(found)
    for position, value in enumerate(as_list(payload.get("choices"))):
        choice = as_mapping(value)
        if choice is not None:
            yield from _choice_pieces(choice, position)
    data = payload.get("data")
    for value in as_list(data):
        for found in images_in(value):
            yield FieldPiece(found)
    for value in as_list(payload.get("images")):
        for found in images_in(value):
            yield FieldPiece(found)
    wrapped = as_mapping(data)
    # Some relays wrap the whole answer: {"code": 200, "data": {...}}.
    if wrapped is not None and "choices" not in payload and "data" not in wrapped:
        yield from pieces(wrapped)


def _choice_pieces(choice: Mapping[str, object], position: int) -> Iterator[Piece]:
    index = choice.get("index")
    number = index if isinstance(index, int) else position
    for kind in ("delta", "message"):
        part = as_mapping(choice.get(kind))
        if part is not None:
            yield from _message_pieces(part, (number, kind))
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason:
        yield FinishPiece(number, reason, as_text(choice.get("native_finish_reason")))


def _message_pieces(part: Mapping[str, object], choice: tuple[int, str]) -> Iterator[Piece]:
    for key in ("reasoning_content", "reasoning"):
        words = as_text(part.get(key))
        if words:
            yield ReasoningPiece(words)
            break
    content = part.get("content")
    if isinstance(content, str):
        yield TextPiece(choice, content)
    for value in as_list(content):
        yield from _content_pieces(value, choice)
    content_part = as_mapping(content)
    if content_part is not None:
        yield from _content_pieces(content_part, choice)
    for value in as_list(part.get("images")):
        for found in images_in(value):
            yield FieldPiece(found)
    image = part.get("image")
    if image:
        for found in images_in(image):
            yield FieldPiece(found)
    refusal = as_text(part.get("refusal"))
    if refusal:
        yield RefusalPiece(refusal)


def _content_pieces(value: object, choice: tuple[int, str]) -> Iterator[Piece]:
    part = as_mapping(value)
    if part is None:
        if isinstance(value, str):
            yield TextPiece(choice, value)
        return
    kind = as_text(part.get("type")).lower()
    if kind in ("thinking", "reasoning"):
        yield ReasoningPiece(as_text(part.get("text")) or as_text(part.get("thinking")))
        return
    words = as_text(part.get("text"))
    if words:
        yield TextPiece(choice, words)
    if "image" in kind or kind in _IMAGE_TYPES:
        for found in images_in(part):
            yield FieldPiece(found)


def images_in(value: object, depth: int = 0) -> Iterator[AnswerImage]:
    """The image of a field meant for one: a string, or an object that holds it under one of the known names.

    An object often holds the same image twice (`url` and `b64_json`): the first one that is whole is taken.
    """
    if isinstance(value, str):
        found = read_image(value)
        if found is not None:
            yield found
        return
    part = as_mapping(value)
    if part is None or depth >= _MOST_NESTED:
        return
    mime = as_text(part.get("mime_type")) or as_text(part.get("mimeType")) or as_text(part.get("media_type"))
    if mime and not mime.lower().startswith(("image/", "application/octet-stream")):
        return
    for key in _VALUE_KEYS:
        found = list(images_in(part.get(key), depth + 1))
        if found:
            yield from found
            return
