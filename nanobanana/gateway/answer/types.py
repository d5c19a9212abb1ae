"""What an answer is made of: the values that the reader returns, and the limits it reads within."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class ImageUrl:
    """An image to fetch. `certain`: the URL is known to be complete; otherwise more of it may follow, or be lost.

    `likely`: it only looks like an image's among the words of a text.
    """

    url: str
    certain: bool = True
    likely: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class ImageData:
    """An image that came inside the answer, as the decoded file's bytes (not yet inspected).

    `final`: nothing suggests that another one will take its place.
    """

    data: bytes
    final: bool = field(default=True, compare=False)

    def __repr__(self) -> str:
        return f"ImageData({len(self.data)} bytes)"


@dataclass(frozen=True)
class Reasoning:
    """What the model or the relay says about its work: one line of at most 200 characters."""

    text: str


AnswerImage = ImageUrl | ImageData
AnswerEvent = ImageUrl | ImageData | Reasoning


@dataclass(frozen=True)
class Answer:
    """What came.

    `images`: in the order they came, without duplicates. `guessed`: nothing says that they are images; they are links
    of a text that brought no other, and if none of them leads to an image the answer held none. `text`: what the model
    said, without the images in it, at most `AnswerLimits.text_characters`. `request_id`: what the gateway calls this
    answer. `finish_reason`, and `native_reason`, as the model's maker names it: as sent, empty if there was none.
    `refusal`: from the field for it. `unparsed`: text outside any answer. `thoughts`: the end of its thinking.
    `task`, `task_status`: of work that the gateway queued instead of answering. `fields`: the names at the top of what
    came. `truncated`: the answer broke off. `damaged`: a part of it could not be read while an image came. `received`:
    the answer itself, if its images are guessed.
    """

    images: tuple[ImageUrl | ImageData, ...]
    text: str = ""
    request_id: str = ""
    guessed: bool = False
    finish_reason: str = ""
    native_reason: str = ""
    refusal: str = ""
    unparsed: str = ""
    thoughts: str = ""
    task: str = ""
    task_status: str = ""
    fields: str = ""
    truncated: bool = False
    damaged: bool = False
    received: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class AnswerLimits:
    """How much of an answer is read before it is given up. Bytes after decompression.

    The largest documented image is 4800 x 3584: as a PNG it stays below 60 MB, 80 MB as base64. The limits are at
    least twice that, so no honest answer reaches them.
    """

    total_bytes: int = 192 * MIB
    line_bytes: int = 160 * MIB
    events: int = 500_000
    text_characters: int = MIB
    json_depth: int = 64
    json_values: int = 1_000_000
    images: int = 64
