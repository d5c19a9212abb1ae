"""Where the parts of an answer are in its JSON: one payload in, its texts, images and reasoning out.

Takes a chunk of a stream and a whole answer alike; everything may be missing or of another type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, cast

from .links import has_image_signature, names_image, read_image
from .types import AnswerImage, ImageData

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
_MOST_WALKED: Final = 24
# `delta` and `message` in payload > choices > choice.
_CHOICE_DEPTH: Final = 3
_QUEUED: Final = frozenset(
    {"queued", "queueing", "submitted", "pending", "processing", "in_progress", "running", "starting", "not_start"}
)
# White space that may stand before JSON inside a string.
_LONGEST_PREFIX: Final = 64
# By the names of fields, or the types of events: what is no result.
_NO_RESULTS: Final = re.compile(
    r"reason|think|thought|partial|preview|thumb|draft|prompt|^input|^request|^messages$|avatar|logo|icon",
    re.IGNORECASE,
)
# Fields whose lone URL is taken for an image's although its path doesn't end like one.
_URL_KEYS: Final = re.compile(
    r"ur[il]s?$|image|picture|photo|output|result|media|file|link|src|href|data$", re.IGNORECASE
)
# In addition to every type with "image" in its name.
_IMAGE_TYPES: Final = ("", "inline_data", "inlinedata", "media", "picture")


class PayloadSink(Protocol):
    """Receives what `read_payload` finds."""

    base_url: str

    def text(self, choice: tuple[int, str], text: str) -> None:
        """A piece of the text of `choice`: its index, and whether it came as delta or message."""

    def output(self, image: AnswerImage) -> None:
        """An image of the top-level `media.outputs`, which take precedence over all others."""

    def image(self, image: AnswerImage, slot: object = None) -> None:
        """An image of a field that is meant for images. A later one of the same `slot`, if that is given, replaces it:
        the earlier one was a preview.
        """

    def hidden(self, image: AnswerImage) -> None:
        """An image in a place that nothing documents."""

    def prose(self, text: str) -> None:
        """A text in a place that nothing documents, which may hold links."""

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
    """Tell `sink` what one payload holds in the documented places, in order of precedence."""
    media = payload.get("media")
    outputs = (as_mapping(media) or {"outputs": media}).get("outputs")
    for value in as_list(outputs) or (outputs,):
        for image in images_in(value, sink.base_url):
            sink.output(image)
    for position, value in enumerate(as_list(payload.get("choices"))):
        choice = as_mapping(value)
        if choice is not None:
            _read_choice(choice, position, sink)
    for value in as_list(payload.get("candidates")):
        candidate = as_mapping(value)
        if candidate is not None:
            _read_candidate(candidate, sink)
    feedback = as_mapping(payload.get("promptFeedback"))
    if feedback is not None and (blocked := as_text(feedback.get("blockReason"))):
        sink.finish(0, blocked, "")
        sink.refusal(as_text(feedback.get("blockReasonMessage")) or blocked)
    data = payload.get("data")
    for value in (*as_list(data), *as_list(payload.get("images"))):
        for image in images_in(value, sink.base_url):
            sink.image(image)
    wrapped = as_mapping(data)
    # Some relays wrap the whole answer: {"code": 200, "data": {...}}.
    if wrapped is not None and "choices" not in payload and "data" not in wrapped:
        read_payload(wrapped, sink)


def _read_candidate(candidate: Mapping[str, object], sink: PayloadSink) -> None:
    """An answer as Gemini itself gives it."""
    content = as_mapping(candidate.get("content")) or {}
    for value in as_list(content.get("parts")):
        part = as_mapping(value)
        if part is None:
            continue
        if part.get("thought") is True:
            sink.reasoning(as_text(part.get("text")))
            continue
        if text := as_text(part.get("text")):
            sink.text((0, "parts"), text)
        for image in images_in(part, sink.base_url):
            sink.image(image)
    if reason := as_text(candidate.get("finishReason")):
        sink.finish(0, reason, "")
    if message := as_text(candidate.get("finishMessage")):
        sink.refusal(message)


def queued_task(payload: Mapping[str, object]) -> tuple[str, str]:
    """(id, status) of work that the gateway has queued instead of answering; empty when it hasn't."""
    data = payload.get("data")
    generation = as_mapping(payload.get("generation")) or {}
    for value in (payload, as_mapping(data), *as_list(data), generation.get("task"), payload.get("task")):
        part = as_mapping(value)
        if part is None:
            continue
        status = as_text(part.get("status")) or as_text(part.get("state")) or as_text(part.get("task_status"))
        names = (
            ("task_id", "taskId", "id") if part is not payload or "choices" not in payload else ("task_id", "taskId")
        )
        task = next((found for name in names if (found := as_text(part.get(name)))), "")
        if task and status.lower() in _QUEUED:
            return task, status
    return "", ""


def walk(value: object, sink: PayloadSink, key: str = "", depth: int = 0) -> None:
    """Tell `sink` of every string in `value` that may be an image or lead to one, wherever it stands.

    For what no documented place holds. Left out: what the model thinks, previews, and what repeats the request.
    """
    if depth > _MOST_WALKED or _NO_RESULTS.search(key):
        return
    if isinstance(value, str):
        _walk_text(value, sink, key, depth)
    elif isinstance(value, list):
        for item in as_list(cast("object", value)):
            walk(item, sink, key, depth + 1)
    elif (part := as_mapping(value)) is not None:
        if part.get("thought") is True or _NO_RESULTS.search(as_text(part.get("type"))):
            return
        for name, item in part.items():
            # The texts of choices are scanned already, joined over all chunks.
            in_choice = depth >= _CHOICE_DEPTH and key in ("message", "delta")
            if not (in_choice and name == "content" and isinstance(item, str)):
                walk(item, sink, name, depth + 1)


def _walk_text(text: str, sink: PayloadSink, key: str, depth: int) -> None:
    if text[:_LONGEST_PREFIX].lstrip().startswith(("{", "[")):
        try:
            inside: object = json.loads(text)
        except (ValueError, RecursionError):
            inside = None
        if isinstance(inside, (dict, list)):
            walk(cast("object", inside), sink, key, depth + 1)
            return
    image = read_image(text, sink.base_url)
    if isinstance(image, ImageData):
        if has_image_signature(image.data):
            sink.hidden(image)
    elif image is not None and (_URL_KEYS.search(key) or names_image(image.url)):
        sink.hidden(image)
    elif image is None and ("](" in text or "<img" in text or "://" in text):
        sink.prose(text)


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
        numbered = as_mapping(value)
        slot = None if numbered is None or "index" not in numbered else (choice[0], numbered["index"])
        for image in images_in(value, sink.base_url):
            sink.image(image, slot)
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
        for image in images_in(part, sink.base_url):
            sink.image(image)


def images_in(value: object, base_url: str = "", depth: int = 0) -> Iterator[AnswerImage]:
    """The image of a field meant for one: a string, or an object that holds it under one of the known names.

    An object often holds the same image twice (`url` and `b64_json`): the first whole one is taken.
    """
    if isinstance(value, str):
        image = read_image(value, base_url)
        if image is not None:
            yield image
        return
    part = as_mapping(value)
    if part is None or depth >= _MOST_NESTED or part.get("thought") is True:
        return
    mime = as_text(part.get("mime_type")) or as_text(part.get("mimeType")) or as_text(part.get("media_type"))
    if mime and not mime.lower().startswith(("image/", "application/octet-stream")):
        return
    for key in _VALUE_KEYS:
        images = list(images_in(part.get(key), base_url, depth + 1))
        if images:
            yield from images
            return
