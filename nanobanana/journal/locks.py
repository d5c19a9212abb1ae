"""Who works on which call: a sign of life for each process, and the calls it holds."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Generator
from pathlib import Path

from ..file_lock import FileLock

_SUFFIX = ".lock"


class Owner:
    """This journal's sign of life: a locked file of its own in `folder`, named by a random `id`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        while True:
            self.id = uuid.uuid4().hex
            self._lock = FileLock(folder / f"{self.id}{_SUFFIX}")
            # Another process's `remove_dead` may have removed the file between its creation and its locking.
            if self._lock.held and self._lock.is_at_its_path():
                break
            self._lock.close()

    def close(self) -> None:
        """End the sign of life and remove its file."""
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self._lock.close()  # Windows can't remove an open file
            self._lock.path.unlink(missing_ok=True)
        self._lock.close()


def is_alive(folder: Path, owner: str) -> bool:
    """Whether the process behind `owner` lives. Opens its file, which takes some 20 microseconds."""
    path = folder / f"{owner}{_SUFFIX}"
    if not path.exists():
        return False
    try:
        lock = FileLock(path)
    except PermissionError:
        return True  # Windows, while its owner removes it: ask again later
    lock.close()
    return not lock.held


def remove_dead(folder: Path) -> None:
    """Remove the files of owners that are gone."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if len(path.stem) != 32:
            continue
        with contextlib.suppress(OSError):
            lock = FileLock(path)
            if lock.held:
                if os.name == "nt":
                    lock.close()
                path.unlink(missing_ok=True)
                lock.close()


class Leases:
    """The calls held here, and this journal's sign of life for other processes. Safe for threads."""

    def __init__(self, locks: Path) -> None:
        self._locks = locks
        self._lock = threading.RLock()
        self._owner: Owner | None = None
        self._held: set[int] = set()
        self._outdated = False

    @property
    def id(self) -> str:
        """The name to write beside a call that we take."""
        with self._lock:
            if self._owner is None:
                self._owner = Owner(self._locks)
            return self._owner.id

    @property
    def idle(self) -> bool:
        """Whether no call is held here."""
        with self._lock:
            return not self._held

    def hold(self, call_id: int) -> None:
        """The call is ours from now on."""
        with self._lock:
            self._held.add(call_id)

    def drop(self, call_id: int) -> None:
        """The call is not ours after all: its claim was not written down."""
        with self._lock:
            self._held.discard(call_id)

    def holds(self, call_id: int) -> bool:
        """Whether the call is held here."""
        with self._lock:
            return call_id in self._held

    def is_worked_on(self, owner: str, call_id: int) -> bool:
        """Whether `owner` lives and is at work on the call: for ourselves known exactly, for others by their lock."""
        with self._lock:
            if self._owner is not None and owner == self._owner.id:
                return call_id in self._held
        return is_alive(self._locks, owner)

    @contextlib.contextmanager
    def releasing(self, call_id: int) -> Generator[None]:
        """The call is no longer held when the block is left, even if it raises.

        If it raises (a full disk), the database still names us as the owner, and other processes would wait for as
        long as we live: we take another name as soon as nothing else is held under this one.
        """
        try:
            yield
        except BaseException:
            with self._lock:
                self._outdated = True
            raise
        finally:
            with self._lock:
                self._held.discard(call_id)
                if self._outdated and not self._held:
                    self.close()

    def close(self) -> None:
        """Hold nothing, and end the sign of life; the next call held begins another."""
        with self._lock:
            self._held.clear()
            self._outdated = False
            if self._owner is not None:
                self._owner.close()
                self._owner = None
