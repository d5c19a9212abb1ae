"""A second copy of the history, from which a damaged, emptied or deleted one is rebuilt: what was paid stays paid."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, cast

from ..errors import HistoryError, Log
from .files import ImageFiles

_log = Log(__name__)

_FOUND: Final = (
    "The history was {what}, and has been rebuilt: {calls} calls and {images} images are back. Nothing was bought in"
    " this run, since it could be there already."
)
_HINT: Final = "Run again: what is still missing is bought then.{aside}"
# A call takes two or three lines, and a database as much for its row and indexes.
_MOST_TIMES_LARGER: Final = 2
_SMALL_BYTES: Final = 1 << 20
# Parents first.
_TABLES: Final = ("calls", "urls", "pictures")


class Backup:
    """`<data>/history.jsonl`: a line of JSON for each call that was answered or has failed: its rows in each table.

    A later line for the same call counts. Lines are written inside the transaction that changes the call, so by one
    process at a time.
    """

    def __init__(self, folder: Path, files: ImageFiles) -> None:
        self.path = folder / "history.jsonl"
        self._files = files
        self._found: HistoryError | None = None
        self._run: str | None = None

    def add(self, connection: sqlite3.Connection, call_id: int) -> None:
        """Write down how the call stands. Never fails: it is only the second copy."""
        try:
            if line := _line(connection, call_id):
                with self.path.open("ab") as file:
                    file.write(line)
        except (OSError, sqlite3.Error) as error:
            _log.warning("The second copy of the history can't be written: %s", error)

    def rewrite(self, connection: sqlite3.Connection) -> None:
        """Write all of it anew, in a transaction: after calls were cleared, nothing of them may stay."""
        # Always the same name: what a killed process left of it, with prompts, is written over.
        part = self.path.with_name(f"{self.path.name}.part")
        ids = connection.execute("SELECT id FROM calls WHERE state NOT IN ('asked', 'sent') ORDER BY id").fetchall()
        try:
            with part.open("wb") as file:
                file.writelines(_line(connection, row[0]) for row in ids)
            part.replace(self.path)
        except OSError as error:
            _log.warning("The second copy of the history can't be written: %s", error)
            with suppress(OSError):
                part.unlink(missing_ok=True)
                # An old copy with what was cleared is worse than none.
                self.path.unlink(missing_ok=True)

    def opened(self, connection: sqlite3.Connection, aside: Path | None, new: bool) -> None:
        """The history was opened: rebuild it if it lacks what it should hold.

        `aside`: where a damaged file was put. `new`: whether there was no file, or an empty one.
        """
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("SELECT 1 FROM calls LIMIT 1").fetchone():
                if self._is_outgrown(connection):
                    self.rewrite(connection)
            else:
                self._rebuild(connection, aside, new)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _is_outgrown(self, connection: sqlite3.Connection) -> bool:
        """Whether it isn't there, or holds many lines that later ones have replaced."""
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        try:
            return self.path.stat().st_size > _MOST_TIMES_LARGER * pages * size + _SMALL_BYTES
        except OSError:
            return True

    def _rebuild(self, connection: sqlite3.Connection, aside: Path | None, new: bool) -> None:
        known = list(self._known())
        if not (aside or known or (new and any(self._files.listing()))):
            return
        self._insert(connection, known)
        if aside:
            self._insert(connection, _readable(aside))
        calls, images = (
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("calls", "pictures")
        )
        what = "damaged" if aside else "deleted" if new else "emptied"
        where = f" The damaged file was put aside as {aside.name}." if aside else ""
        self._found = HistoryError(_FOUND.format(what=what, calls=calls, images=images), _HINT.format(aside=where))
        self._run = None
        _log.warning("%s", self._found)
        self.rewrite(connection)

    def allow_buying(self, run: str) -> None:
        """Raise `HistoryError` in the run that found the history rebuilt; an empty `run` is one of its own."""
        if self._found is None:
            return
        error = self._found
        if self._run is None:
            self._run = run
        elif self._run != run or not run:
            self._found = None
            return
        raise HistoryError(error.message, error.hint)

    def _known(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(table, row) of every readable line; of several for one call the last."""
        calls: dict[int, Mapping[str, Any]] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            # A line that was cut off, or damaged with the rest.
            with suppress(ValueError, RecursionError, KeyError, TypeError, IndexError):
                value = cast("dict[str, list[dict[str, Any]]]", json.loads(line))
                calls[int(value["calls"][0]["id"])] = value
        for value in calls.values():
            for table in _TABLES:
                yield from ((table, row) for row in value.get(table, ()))

    def _insert(self, connection: sqlite3.Connection, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        columns = {
            table: {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")} for table in _TABLES
        }
        for table, row in rows:
            values = {name: value for name, value in row.items() if name in columns[table]}
            if table == "calls":
                values["owner"] = None
            elif table == "pictures" and not self._is_there(values):
                continue
            marks = ", ".join(f":{name}" for name in values)
            with suppress(sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
                connection.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)

    def _is_there(self, image: Mapping[str, Any]) -> bool:
        try:
            return self._files.path(str(image["sha256"]), str(image["extension"])).stat().st_size == image["bytes"]
        except (OSError, KeyError, ValueError):
            return False


def _line(connection: sqlite3.Connection, call_id: int) -> bytes:
    value = {
        table: [
            dict(row)
            for row in connection.execute(
                f"SELECT * FROM {table} WHERE {'id' if table == 'calls' else 'call_id'} = ?", (call_id,)
            )
        ]
        for table in _TABLES
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n" if value["calls"] else b""


def _readable(damaged: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row) of what can still be read, from both ends of each table."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        for table in _TABLES:
            order = "id" if table == "calls" else "call_id"
            for direction in ("ASC", "DESC"):
                with suppress(sqlite3.Error):
                    for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order} {direction}"):
                        yield table, dict(row)
