"""What is wanted, and an image as it travels: the values that the node, the wire and the history share.

And the prompts in a text that holds several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEPARATOR = re.compile(r"-{3,}\s*")


@dataclass(frozen=True)
class ImageRequest:
    """One image that is wanted. Made once, by the node, and passed whole to the wire, the history and the fingerprint.

    `aspect_ratio` and `output_format`: of `catalog`. `seed`: 0 to 2**64 - 1; it names a variation and isn't sent.
    A new field needs a default, which keeps the fingerprints of requests made before it.
    """

    model: str
    prompt: str
    aspect_ratio: str
    output_format: str
    seed: int = 0


@dataclass(frozen=True)
class EncodedImage:
    """An image as a file's bytes. `mime` is `image/png`, `image/jpeg` or `image/webp`."""

    data: bytes
    mime: str

    def __repr__(self) -> str:
        return f"EncodedImage({len(self.data)} bytes, {self.mime})"


def split_prompts(text: str) -> list[str]:
    """The prompts in `text`: one a line, or, if any line is three or more dashes, the blocks between such lines.

    Lines that begin with `#` are comments and are left out, and so are prompts that are then blank.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not any(_SEPARATOR.fullmatch(line) for line in lines):
        return [line.strip() for line in lines if line.strip()]
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _SEPARATOR.fullmatch(line):
            blocks.append([])
        else:
            blocks[-1].append(line)
    return [block for block in ("\n".join(block).strip() for block in blocks) if block]
