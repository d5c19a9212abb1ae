"""Which calls are being worked on, here and in other processes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path

from .locks import Owner, is_alive


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
        """The name to write beside a call that is taken."""
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
        """Whether `owner` lives and is at work on the call: here that is known exactly, elsewhere by its lock."""
        with self._lock:
            if self._owner is not None and owner == self._owner.id:
                return call_id in self._held
        return is_alive(self._locks, owner)

    @contextlib.contextmanager
    def releasing(self, call_id: int) -> Generator[None]:
        """The call is no longer held when the block is left, also when it raises.

        When it raises (a full disk), the database still names us as the owner, and other processes would wait for as
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
