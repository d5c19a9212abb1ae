"""Locks on files, which the kernel releases when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

from .errors import HistoryError

# Opening a journal takes milliseconds; migrating or checking a large one some seconds.
_PATIENCE = 60.0

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import errno
    import fcntl

    def _take(descriptor: int) -> bool:
        # flock and not POSIX record locks: it also works between two openings within one process, and closing
        # another descriptor of the same file doesn't release it.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
                return False
            raise HistoryError(
                f"The data folder lies on a file system that can't lock files ({error.strerror}).",
                "Set NANOBANANA_HOME to a folder on a local disk.",
            ) from error
        return True


class FileLock:
    """An exclusive lock on `path`, which is created if missing. `held` tells whether the lock was acquired."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self.held = _take(self._descriptor)
        except BaseException:
            self.close()
            raise
        if not self.held:
            self.close()

    def close(self) -> None:
        """Release the lock; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_at_its_path(self) -> bool:
        """Whether the locked file is still the one at its path (someone may have removed it meanwhile)."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock on `path`; raises `HistoryError` if another process keeps it for a minute."""
    end = time.monotonic() + _PATIENCE
    while True:
        lock = FileLock(path)
        if lock.held:
            break
        if time.monotonic() > end:
            raise HistoryError(
                f"Another process has held {path.name} locked for a minute.",
                "End the other ComfyUI that uses the same data folder, or start this one again.",
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.close()
