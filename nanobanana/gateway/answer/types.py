"""What an answer is made of: the values that leave the protocol part, and the limits it reads under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ...errors import GatewayError

Redact = Callable[[str], str]

MIB: Final = 1024 * 1024


def keep_as_is(text: str) -> str:
    """The default of every `redact` argument: nothing is hidden."""
    return text


@dataclass(frozen=True)
class ImageUrl:
    """An image to fetch. `certain`: the URL is known to be complete; otherwise more of it may follow, or be lost."""

    url: str
    certain: bool = True


@dataclass(frozen=True)
class ImageData:
    """An image that came inside the answer, as the decoded file's bytes (not yet looked into)."""

    data: bytes

    def __repr__(self) -> str:
        return f"ImageData({len(self.data)} bytes)"


@dataclass(frozen=True)
class Reasoning:
    """What the model or the relay says about its work, one line of at most 200 characters."""

    text: str


AnswerImage = ImageUrl | ImageData
AnswerEvent = ImageUrl | ImageData | Reasoning


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    `images`: in the order they came, without duplicates, at least one. `text`: the model's words, without the
    images in them, at most `AnswerLimits.text_characters`. `finish_reason`: as sent, empty when none was.
    `usage`: the gateway's own token counts. `request_id`: what the gateway calls this answer. `model`: what the
    gateway says it used; never one of the documented names for sure. `fallback_error`: where the text held plain
    links and no image, those are given as uncertain ones, and this is the error that holds if none of them is an image.
    """

    images: tuple[ImageUrl | ImageData, ...]
    text: str = ""
    finish_reason: str = ""
    usage: Mapping[str, object] = field(default_factory=dict[str, object])
    request_id: str = ""
    model: str = ""
    fallback_error: GatewayError | None = None


@dataclass(frozen=True)
class AnswerLimits:
    """How much of an answer is read before it is given up. Bytes after decompression.

    The largest documented image is 5504 x 3072: as a PNG it stays below 60 MB, 80 MB as base64. The limits are
    twice that, so that no honest answer meets them.
    """

    total_bytes: int = 192 * MIB
    line_bytes: int = 160 * MIB
    events: int = 500_000
    text_characters: int = MIB
    json_depth: int = 64
    json_values: int = 1_000_000
    images: int = 64
