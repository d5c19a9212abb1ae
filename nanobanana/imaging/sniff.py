"""Which kind of image some bytes are, by their first bytes alone: no name or header a server sent is believed."""

from __future__ import annotations

from typing import Final

# (offset, bytes) pairs that must all match, then the kind.
_MAGIC: Final[tuple[tuple[tuple[tuple[int, bytes], ...], str], ...]] = (
    (((0, b"\x89PNG\r\n\x1a\n"),), "png"),
    (((0, b"\xff\xd8\xff"),), "jpeg"),
    (((0, b"RIFF"), (8, b"WEBP")), "webp"),
    (((0, b"GIF87a"),), "gif"),
    (((0, b"GIF89a"),), "gif"),
    (((0, b"II*\x00"),), "tiff"),
    (((0, b"MM\x00*"),), "tiff"),
    (((4, b"ftypavif"),), "avif"),
    (((4, b"ftypavis"),), "avif"),
    # A bitmap's reserved words are zero: two letters alone would take too much for a bitmap.
    (((0, b"BM"), (6, b"\x00\x00\x00\x00")), "bmp"),
)
_EXTENSIONS: Final = {
    "png": "png",
    "jpeg": "jpg",
    "webp": "webp",
    "gif": "gif",
    "tiff": "tif",
    "avif": "avif",
    "bmp": "bmp",
}


def sniff(data: bytes) -> str | None:
    """`png`, `jpeg`, `webp`, `gif`, `tiff`, `avif` or `bmp`, or None for anything else. 16 bytes are enough."""
    for pieces, kind in _MAGIC:
        if all(data[offset : offset + len(piece)] == piece for offset, piece in pieces):
            return kind
    return None


def extension(data: bytes) -> str:
    """A file's extension without the dot, from our own list; `bin` for bytes that are no known image."""
    kind = sniff(data)
    return _EXTENSIONS[kind] if kind else "bin"
