"""Thumbnails of the journal's images: made once, kept on disk."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from pathlib import Path

from ..errors import HistoryError, Log
from ..imaging.codec import decode, jpeg, on_gray, thumbnail
from ..journal import Journal

_log = Log(__name__)

SIDE = 320
# A 4096 x 4096 image takes 50 MB while it is decoded, and a page of the history asks for many.
_AT_ONCE = 2


class ThumbnailCache:
    """The folder `<data>/thumbnails`: JPEGs of at most 320 pixels a side, named by their image's SHA-256.

    Safe for threads, and several processes may share the folder.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._folder = journal.folder / "thumbnails"
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def thumbnail(self, image_id: str) -> bytes:
        """The JPEG. Raises `HistoryError` for an image that isn't there, `ImageError` for one that can't be read."""
        record = self._journal.image(image_id)
        path = self._folder / f"{record.sha256}.jpg"
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if data.endswith(b"\xff\xd9"):
                return data
        with self._places:
            image = decode(self._journal.read(record))
            rgb = image.rgb if image.alpha is None else on_gray(image.rgb, image.alpha)
            data = jpeg(thumbnail(rgb, SIDE))
            if record.width is None:
                self._note_size(record.id, image.width, image.height)
        self._store(path, data)
        return data

    def sweep(self) -> int:
        """Remove thumbnails whose images are gone; returns how many."""
        removed = 0
        with contextlib.suppress(OSError):
            images = {entry.name.partition(".")[0] for entry in os.scandir(self._journal.folder / "pictures")}
            for path in self._folder.iterdir():
                if path.name.partition(".")[0] not in images:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _note_size(self, image_id: str, width: int, height: int) -> None:
        with contextlib.suppress(HistoryError):
            self._journal.set_size(image_id, width, height)

    def _store(self, path: Path, data: bytes) -> None:
        part = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            # It is only a copy: the next request makes it again.
            _log.warning("A thumbnail could not be kept", exc_info=True)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
