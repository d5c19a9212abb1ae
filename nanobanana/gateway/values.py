"""What an answer is made of: the values that leave the protocol part, and the limits it reads under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..errors import GatewayError

Redact = Callable[[str], str]

MIB: Final = 1024 * 1024


def keep_as_is(text: str) -> str:
    """The default of every `redact` argument: nothing is hidden."""
    return text


@dataclass(frozen=True)
class PictureUrl:
    """A picture to fetch. `certain`: the URL is known to be complete; otherwise more of it may follow, or be lost."""

    url: str
    certain: bool = True


@dataclass(frozen=True)
class PictureData:
    """A picture that came inside the answer, as the decoded file's bytes (not yet looked into)."""

    data: bytes

    def __repr__(self) -> str:
        return f"PictureData({len(self.data)} bytes)"


@dataclass(frozen=True)
class Progress:
    """What the model or the relay says about its work, one line of at most 200 characters."""

    text: str


Picture = PictureUrl | PictureData
AnswerEvent = PictureUrl | PictureData | Progress


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    `pictures`: in the order they came, without duplicates, at least one. `text`: the model's words, without the
    pictures in them, at most `AnswerLimits.text_characters`. `finish_reason`: as sent, empty when none was.
    `usage`: the gateway's own token counts. `request_id`: what the gateway calls this answer. `model`: what the
    gateway says it used; never one of the documented names for sure. `otherwise`: where the text held plain links and
    no picture, those are given as uncertain ones, and this is the error that holds if none of them is a picture.
    """

    pictures: tuple[PictureUrl | PictureData, ...]
    text: str = ""
    finish_reason: str = ""
    usage: Mapping[str, object] = field(default_factory=dict[str, object])
    request_id: str = ""
    model: str = ""
    otherwise: GatewayError | None = None


@dataclass(frozen=True)
class AnswerLimits:
    """How much of an answer is read before it is given up. Bytes after decompression.

    The largest documented picture is 5504 x 3072: as a PNG it stays below 60 MB, 80 MB as base64. The limits are
    twice that, so that no honest answer meets them.
    """

    total_bytes: int = 192 * MIB
    line_bytes: int = 160 * MIB
    events: int = 500_000
    text_characters: int = MIB
    json_depth: int = 64
    json_values: int = 1_000_000
    pictures: int = 64
