"""What an image's bytes tell before decoding: its kind, its size, whether the file is all there.

No name or header that a server sent is believed, and no decoder has allocated anything yet.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

from ..errors import ImageError

# A GIF of 128 MiB has 526,000 parts of 255 bytes, a PNG or a JPEG far fewer. Pillow reads as many in three seconds.
MOST_PARTS: Final = 600_000

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
    # The brand of any still image in this container: AVIF where that is named too.
    (((4, b"ftypmif1"),), "mif1"),
    (((4, b"ftypmsf1"),), "mif1"),
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


def without_lead(data: bytes) -> bytes:
    """`data` without the white space that some relays put before a file."""
    return data.lstrip(b" \t\r\n") if data[:1] in (b" ", b"\t", b"\r", b"\n") else data


def sniff(data: bytes) -> str | None:
    """`png`, `jpeg`, `webp`, `gif`, `tiff`, `avif` or `bmp`, or None for anything else. 64 bytes are enough."""
    data = without_lead(data[:64])
    for pieces, kind in _MAGIC:
        if all(data[offset : offset + len(piece)] == piece for offset, piece in pieces):
            if kind != "mif1":
                return kind
            return "avif" if b"avif" in data[16 : int.from_bytes(data[:4], "big")] else None
    return None


def is_heic(data: bytes) -> bool:
    """Whether `data` is an image in Apple's format, which Pillow doesn't read."""
    return without_lead(data[:64])[4:8] == b"ftyp" and b"hei" in without_lead(data[:64])[8:40]


def extension(data: bytes) -> str:
    """A file's extension without the dot, from our own list; `bin` for bytes that are no known image."""
    kind = sniff(data)
    return _EXTENSIONS[kind] if kind else "bin"


# Start-of-frame markers of JPEG; C4, C8 and CC between them are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def header_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """(width, height) that the header claims, or None if that is left to the decoder. `kind`: from `sniff`.

    Only for kinds whose decoder allocates by the size: PNG, JPEG, WebP and GIF.
    """
    data = without_lead(data)
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
    except (struct.error, _TooManyParts):
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
    for _ in _parts():
        if at + 4 > len(data):
            break
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


def is_cut_short(data: bytes, kind: str, *, strict: bool = False) -> bool:
    """Whether the bytes end before the file does. Only what is certain: False if the format doesn't tell.

    `strict`: raises `ImageError` for a file in so many parts that a decoder would read them for minutes.

    Checked before decoding, since others in the process may have told Pillow to fill in what is missing.
    """
    data = without_lead(data)
    try:
        return kind in _ENDS and not _ENDS[kind](data)
    except (IndexError, struct.error):
        return True
    except _TooManyParts:
        if not strict:
            return False
        raise ImageError(
            f"The image's {kind.upper()} file is in more than {MOST_PARTS:,} parts: no program writes such a file."
        ) from None


class _TooManyParts(Exception):
    pass


def _parts() -> Iterator[None]:
    """Once for each part of a file that is looked at. Raises `_TooManyParts`."""
    yield from itertools.repeat(None, MOST_PARTS)
    raise _TooManyParts


def _jpeg_has_end(data: bytes) -> bool:
    """Whether the end marker stands behind the last scan: a thumbnail in the header has one of its own."""
    at = 2
    for _ in _parts():
        if at + 4 > len(data):
            break
        if data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker in (0xFF, *_JPEG_BARE):
            at += 1 if marker == 0xFF else 2
        elif marker == 0xD9:
            return True
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                # In a scan FF stands before 00 and restart markers only.
                found = _JPEG_MARKER.search(data, at)
                if found is None:
                    return False
                at = found.start()
    return data[at : at + 2] == b"\xff\xd9"


def _webp_has_end(data: bytes) -> bool:
    return len(data) >= 12 and int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _gif_has_end(data: bytes) -> bool:
    flags = data[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    parts = _parts()
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            flags = data[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif data[at] == 0x21:
            at += 2
        else:
            return True  # no block of the format: left to the decoder
        while data[at]:
            next(parts)
            at += 1 + data[at]
        next(parts)
        at += 1
    return True


def _boxes_have_end(data: bytes) -> bool:
    at = 0
    for _ in _parts():
        if at >= len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size == 0 or not kind.isalnum():
            return True  # up to the end, whatever that is
        if size < 8 or at + size > len(data):
            return False
        at += size
    return True


def _tiff_has_end(data: bytes) -> bool:
    """Whether the strips or tiles of the first image are all there."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    places: dict[int, list[int]] = {}
    for number in range(count):
        entry = at + 2 + 12 * number
        tag, kind, amount = struct.unpack_from(order + "HHI", data, entry)
        if tag in (273, 279, 324, 325) and kind in (3, 4) and amount <= len(data):
            code = "H" if kind == 3 else "I"
            width = amount * struct.calcsize(code)
            start = entry + 8 if width <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            places[tag] = list(struct.unpack_from(f"{order}{amount}{code}", data, start))
    starts, sizes = places.get(273, places.get(324, [])), places.get(279, places.get(325, []))
    return all(start + size <= len(data) for start, size in zip(starts, sizes, strict=False))


def _bmp_has_end(data: bytes) -> bool:
    return int.from_bytes(data[2:6], "little") <= len(data)


def _png_has_end(data: bytes) -> bool:
    return any(kind == b"IEND" for kind, _, _ in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of each chunk's contents; those of the last one may be cut off."""
    at = 8
    for _ in _parts():
        if at + 12 > len(data):
            break
        stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, stop
        at = stop + 4


_ENDS: Final[dict[str, Callable[[bytes], bool]]] = {
    "png": _png_has_end,
    "jpeg": _jpeg_has_end,
    "webp": _webp_has_end,
    "gif": _gif_has_end,
    "avif": _boxes_have_end,
    "tiff": _tiff_has_end,
    "bmp": _bmp_has_end,
}
