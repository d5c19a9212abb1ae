"""Where the parts of an answer are in its JSON: one payload in, its texts, images and reasoning out.

Takes a chunk of a stream and a whole answer alike; everything may be missing or of another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, cast

from .links import read_image
from .types import AnswerImage

# In order of preference: inline data comes first, since it needs no download that may fail.
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
# In addition to every type with "image" in its name.
_IMAGE_TYPES: Final = ("", "inline_data", "inlinedata", "media", "picture")


class PayloadSink(Protocol):
    """Receives what `read_payload` finds."""

    def text(self, choice: tuple[int, str], text: str) -> None:
        """A piece of the text of `choice`: its index, and whether it came as delta or message."""

    def output(self, image: AnswerImage) -> None:
        """An image of the top-level `media.outputs`, which take precedence over all others."""

    def image(self, image: AnswerImage) -> None:
        """An image of a field that is meant for images."""

    def reasoning(self, text: str) -> None:
        """A piece of the model's thinking. Drafts in it don't count as images."""

    def refusal(self, text: str) -> None:
        """A piece of the field in which a model says why it won't."""

    def finish(self, choice: int, reason: str, native: str) -> None:
        """The choice has ended, and why. `native`: the reason as the model's maker names it."""


def as_mapping(value: object) -> Mapping[str, object] | None:
    """`value` as a JSON object, or None."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> Sequence[object]:
    """`value` as a JSON array; anything else is an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else ()


def as_text(value: object) -> str:
    """`value` as a string; anything else is an empty one."""
    return value if isinstance(value, str) else ""


def read_payload(payload: Mapping[str, object], sink: PayloadSink) -> None:
    """Tell `sink` what one payload holds, in order of precedence."""
    media = as_mapping(payload.get("media"))
    if media is not None:
        outputs = media.get("outputs")
        for value in as_list(outputs) or (outputs,):
            for image in images_in(value):
                sink.output(image)
    for position, value in enumerate(as_list(payload.get("choices"))):
        choice = as_mapping(value)
        if choice is not None:
            _read_choice(choice, position, sink)
    data = payload.get("data")
    for value in (*as_list(data), *as_list(payload.get("images"))):
        for image in images_in(value):
            sink.image(image)
    wrapped = as_mapping(data)
    # Some relays wrap the whole answer: {"code": 200, "data": {...}}.
    if wrapped is not None and "choices" not in payload and "data" not in wrapped:
        read_payload(wrapped, sink)


def _read_choice(choice: Mapping[str, object], position: int, sink: PayloadSink) -> None:
    index = choice.get("index")
    number = index if isinstance(index, int) else position
    for kind in ("delta", "message"):
        part = as_mapping(choice.get(kind))
        if part is not None:
            _read_message(part, (number, kind), sink)
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason:
        sink.finish(number, reason, as_text(choice.get("native_finish_reason")))


def _read_message(part: Mapping[str, object], choice: tuple[int, str], sink: PayloadSink) -> None:
    thinking = as_text(part.get("reasoning_content")) or as_text(part.get("reasoning"))
    if thinking:
        sink.reasoning(thinking)
    content = part.get("content")
    if isinstance(content, list):
        for value in as_list(cast("object", content)):
            _read_content(value, choice, sink)
    else:
        _read_content(content, choice, sink)
    for value in (*as_list(part.get("images")), part.get("image")):
        for image in images_in(value):
            sink.image(image)
    if refusal := as_text(part.get("refusal")):
        sink.refusal(refusal)


def _read_content(value: object, choice: tuple[int, str], sink: PayloadSink) -> None:
    if isinstance(value, str):
        sink.text(choice, value)
        return
    part = as_mapping(value)
    if part is None:
        return
    kind = as_text(part.get("type")).lower()
    if kind in ("thinking", "reasoning"):
        sink.reasoning(as_text(part.get("text")) or as_text(part.get("thinking")))
        return
    if text := as_text(part.get("text")):
        sink.text(choice, text)
    if "image" in kind or kind in _IMAGE_TYPES:
        for image in images_in(part):
            sink.image(image)


def images_in(value: object, depth: int = 0) -> Iterator[AnswerImage]:
    """The image of a field meant for one: a string, or an object that holds it under one of the known names.

    An object often holds the same image twice (`url` and `b64_json`): the first whole one is taken.
    """
    if isinstance(value, str):
        image = read_image(value)
        if image is not None:
            yield image
        return
    part = as_mapping(value)
    if part is None or depth >= _MOST_NESTED:
        return
    mime = as_text(part.get("mime_type")) or as_text(part.get("mimeType")) or as_text(part.get("media_type"))
    if mime and not mime.lower().startswith(("image/", "application/octet-stream")):
        return
    for key in _VALUE_KEYS:
        images = list(images_in(part.get(key), depth + 1))
        if images:
            yield from images
            return
