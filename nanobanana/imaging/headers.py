"""An image's size from its first bytes, before any decoder has allocated anything for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# Start-of-frame markers of JPEG; C4, C8 and CC between them are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def header_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """(width, height) that the header of a `kind` of `sniff` claims, or None where it has to be left to the decoder.

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
    """Whether the bytes end before the file does. Only what is certain: False where the format doesn't tell.

    Asked before decoding, since a decoder may have been told by others in the process to fill in what is missing.
    """
    if kind == "png":
        return not _png_has_end(data)
    if kind == "jpeg":
        return b"\xff\xd9" not in data[-65536:] and b"\xff\xd9" not in data
    if kind == "webp":
        return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


def png_exif(data: bytes) -> bytes | None:
    """What a PNG's `eXIf` chunk holds, wherever it stands."""
    return next((data[start:stop] for kind, start, stop in _png_chunks(data) if kind == b"eXIf"), None)


def _png_has_end(data: bytes) -> bool:
    return any(kind == b"IEND" for kind, _, _ in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of the contents of each chunk whose frame is there as a whole."""
    at = 8
    while at + 12 <= len(data):
        stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, stop
        at = stop + 4
