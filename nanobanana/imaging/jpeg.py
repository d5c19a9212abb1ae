"""JPEG 4:4:4, encoded strip by strip on several cores and joined with restart markers.

JPEG's restart markers cut a scan into parts that are coded independently, which is what a strip encoded by itself
is: the same tables, its own start, ending on a byte. So the whole image is never held: a 4096x4096 image takes 15 MB
at the peak instead of 88 MB.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Generator, Iterator
from functools import partial
from io import BytesIO
from typing import IO, Final, cast

from ..cancel import CancelToken
from .parallel import run_all, strip_rows
from .sources import PixelSource, to_pillow

# JPEG codes squares of 8 x 8 pixels where no colour is subsampled.
_BLOCK: Final = 8
_STRIP_BYTES: Final = 1 << 20
_MOST_BLOCKS: Final = 65535
MOST_SIDE: Final = 65500


def encode_jpeg(source: PixelSource, *, quality: int, limit: int, cancel: CancelToken, workers: int) -> bytes | int:
    """`source` (1 or 3 channels, sides up to `MOST_SIDE`) as a baseline JPEG without chroma subsampling.

    If the file is longer than `limit` bytes, it isn't put together: then its length is returned instead.
    """
    rows = strip_rows(source.width, source.channels, _STRIP_BYTES, _BLOCK)
    blocks_across = -(-source.width // _BLOCK)
    rows = max(_BLOCK, min(rows, _MOST_BLOCKS // blocks_across * _BLOCK))
    starts = range(0, source.height, rows)
    encode = [partial(_strip, source, start, min(start + rows, source.height), quality) for start in starts]
    strips = run_all(encode, workers=workers, cancel=cancel)
    total = sum(map(len, strips))
    if total > limit:
        return total
    if len(strips) == 1:
        return strips[0]
    parts: list[bytes | memoryview] = [_head(strips[0], source.height, rows // _BLOCK * blocks_across)]
    for number, strip in enumerate(strips):
        if number:
            parts.append(bytes((0xFF, 0xD0 + (number - 1) % 8)))
        parts.append(_scan(strip))
    parts.append(b"\xff\xd9")
    return b"".join(parts)


def _strip(source: PixelSource, start: int, stop: int, quality: int) -> bytes:
    image = to_pillow(source.rows(start, stop))
    with encoder_file() as file:
        # Standard Huffman tables: optimised ones would differ from strip to strip.
        image.save(file, "JPEG", quality=quality, subsampling=0, optimize=False, progressive=False)
        file.seek(0)
        return file.read()


@contextlib.contextmanager
def encoder_file() -> Generator[IO[bytes]]:
    """A real file if there is one to be had: Pillow lets other threads run only while it encodes into one."""
    try:
        if hasattr(os, "memfd_create"):
            file = cast("IO[bytes]", os.fdopen(os.memfd_create("nanobanana"), "w+b"))
        else:
            file = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - closed by the caller's with
    except OSError:
        file = BytesIO()
    with file:
        yield file


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each header segment, the scan's header last; `end` is behind it."""
    at = 2
    while True:
        marker = data[at + 1]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, end
        if marker == 0xDA:
            return
        at = end


def _head(first: bytes, height: int, interval: int) -> bytes:
    """The first strip's header, telling the whole image's height and a restart every `interval` blocks."""
    parts = [first[:2]]
    for marker, start, end in _segments(first):
        segment = first[start:end]
        if marker == 0xC0:
            segment = segment[:5] + struct.pack(">H", height) + segment[7:]
        elif marker == 0xDA:
            parts.append(b"\xff\xdd" + struct.pack(">HH", 4, interval))
        parts.append(segment)
    return b"".join(parts)


def _scan(strip: bytes) -> memoryview:
    """The coded pixels of a strip's file, without its header and its end marker."""
    for marker, _, end in _segments(strip):
        if marker == 0xDA:
            return memoryview(strip)[end : len(strip) - 2]
    raise AssertionError("a JPEG file without a scan")
