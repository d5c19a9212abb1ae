"""What one call asks for: the values that travel between imaging, the client and the gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodedImage:
    """A picture as a file's bytes. `mime` is `image/png`, `image/jpeg` or `image/webp`."""

    data: bytes
    mime: str

    def __repr__(self) -> str:
        return f"EncodedImage({len(self.data)} bytes, {self.mime})"


@dataclass(frozen=True)
class PictureRequest:
    """One call: one picture asked for.

    `pictures` are the input pictures in order: encoded bytes, or a URL that the gateway fetches itself.
    Empty means text to picture.
    """

    model: str
    prompt: str
    aspect_ratio: str
    output_format: str
    pictures: tuple[EncodedImage | str, ...] = ()
