"""What an image's bytes tell before decoding: its kind, its size, whether the file is all there.

No name or header that a server sent is believed, and no decoder has allocated anything yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
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
    # A bitmap's reserved words are zero: by its two letters alone, too much would pass for a bitmap.
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


# Start-of-frame markers of JPEG; C4, C8 and CC between them are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def header_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """(width, height) that the header claims, or None if that is left to the decoder. `kind`: from `sniff`.

    Only for kinds whose decoder allocates by the size: PNG, JPEG, WebP and GIF.
    """
    try:
        if kind == "png":
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if kind == "gif":
            width, height = struct.unpack_from("<HH", data, 6)
            return width, height
        if kind == "webp":
            return _webp_size(data)
        if kind == "jpeg":
            return _jpeg_size(data)
    except struct.error:
        return None
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + length
    return None


def is_cut_short(data: bytes, kind: str) -> bool:
    """Whether the bytes end before the file does. Only what is certain: False if the format doesn't tell.

    Checked before decoding, since others in the process may have told Pillow to fill in what is missing.
    """
    if kind == "png":
        return not _png_has_end(data)
    if kind == "jpeg":
        return b"\xff\xd9" not in data[-65536:] and b"\xff\xd9" not in data
    if kind == "webp":
        return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


def _png_has_end(data: bytes) -> bool:
    return any(kind == b"IEND" for kind, _, _ in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of each chunk's contents; those of the last one may be cut off."""
    at = 8
    while at + 12 <= len(data):
        stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, stop
        at = stop + 4
