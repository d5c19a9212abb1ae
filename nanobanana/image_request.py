"""What one call asks for: the values that travel between imaging, the client and the gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodedImage:
    """An image as a file's bytes. `mime` is `image/png`, `image/jpeg` or `image/webp`."""

    data: bytes
    mime: str

    def __repr__(self) -> str:
        return f"EncodedImage({len(self.data)} bytes, {self.mime})"


@dataclass(frozen=True)
class ImageRequest:
    """One call: one image asked for.

    `images` are the input images in order: encoded bytes, or a URL that the gateway fetches itself.
    Empty means text to image.
    """

    model: str
    prompt: str
    aspect_ratio: str
    output_format: str
    images: tuple[EncodedImage | str, ...] = ()
