"""A PNG's inflating on another core, while Pillow undoes the filters: a third less time for an image.

Pillow inflates and unfilters in one thread. Here a second one inflates what Pillow's own reader of PNG finds, and
Pillow is given the same bytes uncompressed, in the stored blocks of the deflate format (RFC 1951, 3.2.4): it checks
what it always does.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# Handing a piece from thread to thread costs some 20 us: pieces are large beside that, and few wait at a time.
_PIECE_BYTES = 1 << 18
_MOST_WAITING = 4
_READ_BYTES = 1 << 16
_BLOCK_BYTES = 0xFFFF
_SMALL_FILE = 1 << 17


@contextmanager
def inflated_ahead(image: ImageFile, file_bytes: int, cores: int) -> Generator[bool]:
    """Within it, loading `image`, just opened, uses a second core; False where it doesn't.

    That is so with fewer than 2 `cores`, for kinds other than PNG, and where `file_bytes`, the file's, are too few.

    Of a broken file Pillow by itself may read more: whoever gets an error tries again without.
    """
    if image.format != "PNG" or file_bytes < _SMALL_FILE or cores < 2:
        yield False
        return
    hooks: Any = image
    ahead = _Ahead(hooks.load_read, hooks.load_end)
    hooks.load_read, hooks.load_end = ahead.read, ahead.end
    try:
        yield True
    finally:
        ahead.close()
        del hooks.load_read, hooks.load_end


def stored(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The zlib stream that `read` gives in parts (empty: its end) as one of stored blocks, in pieces of some 256 KiB.

    A stream that ends early gives one that does, without an error. Raises `zlib.error` where the stream is broken,
    its check sum included, and what `read` raises.
    """
    inflater = zlib.decompressobj()
    checksum = zlib.adler32(b"")
    parts, size = [b"\x78\x01"], 0
    while not inflater.eof and (compressed := read(_READ_BYTES)):
        while True:
            data = inflater.decompress(compressed, _PIECE_BYTES)
            compressed = inflater.unconsumed_tail
            checksum = zlib.adler32(data, checksum)
            for start in range(0, len(data), _BLOCK_BYTES):
                length = min(_BLOCK_BYTES, len(data) - start)
                parts += (_block_head(length, final=False), data[start : start + length])
            size += len(data)
            if size >= _PIECE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
            # As much as was allowed may not have been all.
            if len(data) < _PIECE_BYTES:
                break
    if inflater.eof:
        parts += (_block_head(0, final=True), checksum.to_bytes(4, "big"))
    yield b"".join(parts)


def _block_head(length: int, *, final: bool) -> bytes:
    return bytes((final,)) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")


class _Ahead:
    """What stands in for a file's `load_read` and `load_end` while Pillow loads it."""

    def __init__(self, load_read: Callable[[int], bytes], load_end: Callable[[], None]) -> None:
        self._load_read = load_read
        self._load_end = load_end
        self._pieces: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._room = threading.Semaphore(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ended = False

    def read(self, _most: int) -> bytes:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nanobanana-inflating", daemon=True)
            self._thread.start()
        if self._ended:
            return b""
        piece = self._pieces.get()
        if isinstance(piece, Exception):
            self._ended = True
            raise piece
        self._ended = not piece
        self._room.release()
        return piece

    def end(self) -> None:
        # From here on the file is Pillow's own again.
        self.close()
        self._load_end()

    def close(self) -> None:
        self._closed = True
        self._room.release()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            for piece in stored(self._load_read):
                if not piece:
                    continue
                self._room.acquire()
                if self._closed:
                    return
                self._pieces.put(piece)
            self._pieces.put(b"")
        except Exception as error:  # noqa: BLE001 - raised again in the thread that loads
            self._pieces.put(error)
