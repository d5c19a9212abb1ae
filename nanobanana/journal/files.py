"""The images' original bytes, as files named by their content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import HistoryError, Log
from .database import disk_error
from .records import ImageRecord

# A whole answer in which no image was found.
ANSWER: Final = "answer"
# A file's name is its hash and one of these endings, whatever the gateway called it.
EXTENSIONS: Final = frozenset(
    {"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "jxl", "ico", "bin"}
) | {ANSWER}
_log = Log(__name__)
_PART = ".part"
_DAMAGED = ".damaged"
_STALE_SECONDS = 3600.0
# What FUSE, CIFS, 9p and their like answer to a sync that they don't know; the write itself has been done.
_NO_SYNC = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.EBADF, errno.EISDIR, errno.EACCES, errno.EPERM}
    | {errno.ENOTSUP, errno.EOPNOTSUPP}
)

Writer = Callable[[int, bytes], None]


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte of `data`."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync(descriptor: int) -> None:
    """Flush a file's bytes, or a folder's names, to the disk itself."""
    if sys.platform == "darwin":
        import fcntl

        # An ordinary sync stops at the drive's own cache there; not every drive or share knows this one.
        with _where_possible():
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


@contextlib.contextmanager
def _where_possible() -> Generator[None]:
    """Go on where the file system knows no such sync; an error of the disk is still raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        _log.debug("this folder's file system can't sync: %s", error)


@dataclass(frozen=True)
class StoredFile:
    """`name` is `<sha256>.<extension>`; `modified` is when it was last used, in Unix seconds."""

    name: str
    bytes: int
    modified: float

    @property
    def sha256(self) -> str:
        """The hash of what it should hold; empty for a copy that was changed on disk and put aside."""
        return "" if self.name.endswith(_DAMAGED) else self.name.partition(".")[0]


class ImageFiles:
    """The folder of images. `write` puts bytes into an open file, `sync` flushes a file or folder to the disk."""

    def __init__(self, folder: Path, write: Writer = write_all, sync: Callable[[int], None] = sync) -> None:
        self.folder = folder
        self._write = write
        self._sync = sync

    def prepare(self) -> None:
        """Create the folder, and remove what killed processes left half-written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob(f"*{_PART}"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink()

    def path(self, sha256: str, extension: str) -> Path:
        """Where the bytes with this hash are. An extension we don't know becomes `bin`."""
        return self.folder / f"{sha256}.{safe_extension(extension)}"

    def save(self, data: bytes, extension: str) -> tuple[str, Path]:
        """Put `data` on disk, synced, and return its SHA-256 and path. The same bytes are stored once.

        Raises `HistoryError`, and leaves nothing behind, when the disk is full or can't be written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256, extension)
        part = self.folder / f"{uuid.uuid4().hex}{_PART}"
        try:
            if self._holds(path, data):
                _mark_used(path)
                return sha256, path
            self.folder.mkdir(parents=True, exist_ok=True)  # someone may have deleted it meanwhile
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
            try:
                self._write(descriptor, data)
                with _where_possible():
                    self._sync(descriptor)
            finally:
                os.close(descriptor)
            part.replace(path)
            self._sync_folder()
        except BaseException as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise disk_error(error, path) from error
            raise
        return sha256, path

    def is_there(self, record: ImageRecord) -> bool:
        """Whether the file exists with the right length; marks it as used now."""
        try:
            if record.path.stat().st_size != record.bytes:
                return False
            _mark_used(record.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(error, record.path) from error
        return True

    def read(self, record: ImageRecord) -> bytes:
        """The original bytes, checked against their hash.

        Raises `HistoryError` if the file is gone or was changed. A changed one is renamed, never deleted, and the next
        run fetches the image again.
        """
        try:
            data = record.path.read_bytes()
        except FileNotFoundError as error:
            raise HistoryError(
                f"The image's file {record.path.name} is gone: it was trimmed or deleted.",
                "Run the node that made it again.",
            ) from error
        except OSError as error:
            raise disk_error(error, record.path) from error
        if hashlib.sha256(data).hexdigest() != record.sha256:
            damaged = record.path.with_name(f"{record.path.name}{_DAMAGED}")
            with contextlib.suppress(OSError):
                record.path.replace(damaged)
            raise HistoryError(
                f"The image's file {record.path.name} was changed on disk; it was renamed to {damaged.name}.",
                "Run again: the image is fetched anew where its address still works.",
            )
        return data

    def listing(self) -> Iterator[StoredFile]:
        """Every image file, in no order."""
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not entry.name.endswith(_PART):
                        with contextlib.suppress(FileNotFoundError):
                            info = entry.stat()
                            yield StoredFile(entry.name, info.st_size, info.st_mtime)
        except OSError as error:
            raise disk_error(error, self.folder) from error

    def used_at(self, name: str) -> float | None:
        """When the file `name` was last used, Unix seconds; None when it is gone."""
        try:
            return (self.folder / name).stat().st_mtime
        except OSError:
            return None

    def remove(self, name: str) -> bool:
        """Delete a file; False when it can't be (open on Windows)."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _sync_folder(self) -> None:
        if os.name == "nt":
            return  # Windows can't sync a folder, and needn't
        with _where_possible():
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        # After a power loss a file may have the right name and the wrong bytes: compare them.
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except FileNotFoundError:
            return False


def _mark_used(path: Path) -> None:
    """Trimming leaves files alone that were used in the last hour."""
    try:
        os.utime(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        # Another account's file in a shared folder, or a share without times.
        _log.debug("%s can't be marked as used: %s", path.name, error)


def safe_extension(extension: str) -> str:
    """`extension` if it is one of ours, otherwise `bin`."""
    lowered = extension.lower().lstrip(".")
    return lowered if lowered in EXTENSIONS else "bin"
