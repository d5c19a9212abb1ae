"""Removing images and calls: the oldest ones over the cap, and what the person clears."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from ..cancel import Clock
from ..errors import HistoryError, Log
from .backup import Backup
from .database import Database
from .files import ImageFiles, StoredFile
from .records import Cleared

_log = Log(__name__)

# An image used within this time may be in the hands of a running call.
_IN_USE_SECONDS = 3600.0
# Files are removed inside a transaction, so no other process can start using them; hence few at a time.
_BATCH = 50
# Other processes add files too: list the folder again after this many of our own.
_LOOK_AGAIN = 100

WorksOn = Callable[[str, int], bool]


class Evictor:
    """Keeps the images' folder below `cap_bytes`, removing the oldest first, never what a living call works on."""

    def __init__(
        self,
        database: Database,
        files: ImageFiles,
        backup: Backup,
        is_worked_on: WorksOn,
        *,
        cap_bytes: int,
        clock: Clock,
    ) -> None:
        self.cap_bytes = cap_bytes
        self._database = database
        self._files = files
        self._backup = backup
        self._is_worked_on = is_worked_on
        self._clock = clock
        self._room: int | None = None
        self._added = 0

    def added(self, size: int) -> None:
        """Count a new file of `size` bytes, and trim when the cap is reached. Never fails."""
        self._added += 1
        if self._room is not None:
            self._room -= size
        if self._room is None or self._room < 0 or self._added % _LOOK_AGAIN == 0:
            try:
                self.trim()
            except HistoryError as error:
                _log.warning("The images could not be trimmed: %s", error)

    def trim(self) -> Cleared:
        """Remove the oldest images until the rest fits under the cap. Their calls stay in the history."""
        listing = list(self._files.listing())
        total = sum(file.bytes for file in listing)
        cleared = Cleared(0, 0, 0)
        if total > self.cap_bytes:
            cleared = self._remove_oldest(listing, total)
        self._room = self.cap_bytes - total + cleared.bytes
        return cleared

    def clear(self, *, older_than: float | None = None, calls: Sequence[int] | None = None) -> Cleared:
        """Remove calls and their images: those asked before `older_than` (Unix seconds), those in `calls`, or all.

        What is under way stays. Clearing all also removes files that no row refers to.
        """
        everything = older_than is None and calls is None
        ids = self._clearable(older_than, calls)
        candidates: set[str] = set()
        images = 0
        for start in range(0, len(ids), _BATCH):
            chunk = ids[start : start + _BATCH]
            marks = ",".join("?" * len(chunk))
            with self._database.writing() as connection:
                found = connection.execute(f"SELECT sha256 FROM pictures WHERE call_id IN ({marks})", chunk).fetchall()
                images += len(found)
                candidates.update(row[0] for row in found)
                for table, column in (("pictures", "call_id"), ("urls", "call_id"), ("calls", "id")):
                    connection.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", chunk)
        old = self._clock() - _IN_USE_SECONDS
        files = [
            file for file in self._files.listing() if file.sha256 in candidates or (everything and file.modified < old)
        ]
        freed = self._remove_unreferenced(files)
        if ids:
            with self._database.writing() as connection:
                self._backup.rewrite(connection)
            self._database.shrink()
        self._room = None
        return Cleared(len(ids), images, freed)

    def _clearable(self, older_than: float | None, calls: Sequence[int] | None) -> list[int]:
        condition, values = ("asked_at < ?", [older_than]) if older_than is not None else ("1", [])
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT id, owner FROM calls WHERE {condition}", values).fetchall()
        wanted = None if calls is None else set(calls)
        return [
            row["id"]
            for row in rows
            if (wanted is None or row["id"] in wanted)
            and not (row["owner"] is not None and self._is_worked_on(row["owner"], row["id"]))
        ]

    def _remove_oldest(self, listing: Iterable[StoredFile], total: int) -> Cleared:
        with self._database.reading() as connection:
            kept_at: dict[str, float] = dict(
                map(tuple, connection.execute("SELECT sha256, max(kept_at) FROM pictures GROUP BY sha256"))
            )
        busy = self._busy()
        old = self._clock() - _IN_USE_SECONDS
        oldest_first = sorted(
            (file for file in listing if file.modified < old and file.sha256 not in busy),
            key=lambda file: kept_at.get(file.sha256, file.modified),
        )
        chosen: list[StoredFile] = []
        for file in oldest_first:
            if total <= self.cap_bytes:
                break
            chosen.append(file)
            total -= file.bytes
        images = freed = 0
        for start in range(0, len(chosen), _BATCH):
            with self._database.writing() as connection:
                for file in chosen[start : start + _BATCH]:
                    used_at = self._files.used_at(file.name)
                    if used_at is not None and used_at < old and self._files.remove(file.name):
                        images += self._forget(connection, file)
                        freed += file.bytes
        return Cleared(0, images, freed)

    def _remove_unreferenced(self, files: Sequence[StoredFile]) -> int:
        freed = 0
        for start in range(0, len(files), _BATCH):
            with self._database.writing() as connection:
                for file in files[start : start + _BATCH]:
                    found = connection.execute("SELECT 1 FROM pictures WHERE sha256 = ?", (file.sha256,)).fetchone()
                    if found is None and self._files.remove(file.name):
                        freed += file.bytes
        return freed

    def _busy(self) -> set[str]:
        """The hashes of images whose calls are being worked on."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.sha256, c.owner, c.id FROM calls AS c JOIN pictures AS p ON p.call_id = c.id"
                " WHERE c.owner IS NOT NULL"
            ).fetchall()
        return {row["sha256"] for row in rows if self._is_worked_on(row["owner"], row["id"])}

    @staticmethod
    def _forget(connection: sqlite3.Connection, file: StoredFile) -> int:
        return connection.execute("DELETE FROM pictures WHERE sha256 = ?", (file.sha256,)).rowcount
