"""What is wanted, and an image as it travels: the values that the node, the wire and the history share."""

from __future__ import annotations

from dataclasses import dataclass


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
