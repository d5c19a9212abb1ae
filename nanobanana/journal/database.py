"""The SQLite file: its tables, opening and checking it, putting it aside when damaged, transactions, its errors."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from ..errors import HistoryError, HistoryLocked, Log
from ..file_lock import exclusive

_log = Log(__name__)

_BUSY_SECONDS = 15.0
# Pages move from the log (-wal) into the database when it is opened, and later only when the log is large: above the
# lower limit between calls, above the upper one at any time. So a copy of the folder taken while calls run holds a
# database and a log that fit together. A call writes some 100 KB of log.
_LOG_BYTES_KEPT = 1 << 20
_LOG_BYTES_IDLE = 32 << 20
_LOG_BYTES_MOST = 256 << 20
_ALWAYS_CHECKED_BYTES = 16 << 20


_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_RETRY = "Then run again: what the gateway has answered is fetched at no cost."

# A seed may be 2**64 - 1, more than SQLite's integers hold: it is stored as text.
# A call has an owner while it is being worked on: the name of its lock file. AUTOINCREMENT never reuses an id.
_CREATE = (
    """
    CREATE TABLE calls (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      fingerprint TEXT NOT NULL, variation INTEGER NOT NULL,
      state TEXT NOT NULL, owner TEXT, run TEXT NOT NULL,
      asked_at REAL NOT NULL, sent_at REAL, answered_at REAL, finished_at REAL,
      billed TEXT NOT NULL DEFAULT 'no', request_id TEXT NOT NULL DEFAULT '', seconds REAL, cost REAL,
      model TEXT NOT NULL, aspect_ratio TEXT NOT NULL, output_format TEXT NOT NULL, dialect TEXT NOT NULL,
      profile TEXT NOT NULL, base_url TEXT NOT NULL, seed TEXT NOT NULL, inputs INTEGER NOT NULL,
      error TEXT NOT NULL DEFAULT '', usage TEXT NOT NULL DEFAULT '{}',
      prompt TEXT NOT NULL, text TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX calls_by_key ON calls (fingerprint, variation, id)",
    "CREATE INDEX calls_by_day ON calls (asked_at)",
    "CREATE INDEX calls_owned ON calls (owner) WHERE owner IS NOT NULL",
    """
    CREATE TABLE urls (
      call_id INTEGER NOT NULL, position INTEGER NOT NULL, url TEXT NOT NULL,
      PRIMARY KEY (call_id, position)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE pictures (
      id TEXT PRIMARY KEY,
      call_id INTEGER NOT NULL, position INTEGER NOT NULL, url TEXT NOT NULL,
      sha256 TEXT NOT NULL, extension TEXT NOT NULL, width INTEGER, height INTEGER,
      bytes INTEGER NOT NULL, kept_at REAL NOT NULL,
      UNIQUE (call_id, position)
    )
    """,
    "CREATE INDEX pictures_by_file ON pictures (sha256)",
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
)

# MIGRATIONS[n] are the statements that turn version n into version n + 1; version 0 is an empty file.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _CREATE,
    ("ALTER TABLE calls ADD COLUMN notes TEXT NOT NULL DEFAULT ''",),
)


# Gets the connection, where a damaged file was put if one was, and whether there was no file, or an empty one.
Opened = Callable[[sqlite3.Connection, Path | None, bool], None]


class Database:
    """One database with two connections: one writes, one reads (a long search doesn't hold up a call).

    Safe for threads; each connection has a lock. Opened when first used, and again when its file was taken away.
    `opened` is called then, while no other process opens it. Every error is a `HistoryError`.
    """

    def __init__(
        self,
        path: Path,
        lock_path: Path,
        *,
        busy_seconds: float = _BUSY_SECONDS,
        idle_log_bytes: int = _LOG_BYTES_IDLE,
        opened: Opened = lambda _connection, _aside, _new: None,
    ) -> None:
        self.path = path
        self._opened = opened
        self._idle_log_bytes = idle_log_bytes
        self._busy_seconds = busy_seconds
        self._lock_path = lock_path
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._open_lock = threading.RLock()  # always the last to be taken
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None
        self._damaged = False

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """No other thread writes while the block runs."""
        with self._write_lock:
            yield

    @contextlib.contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """One transaction, on disk when the block is left; undone when it raises."""
        with self._write_lock, self._explained():
            connection = self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """One consistent snapshot, on a connection that can't write."""
        with self._read_lock, self._explained():
            connection = self._open_reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def tidy(self, *, idle: bool) -> None:
        """Move the log into the database if that is due. `idle`: no call is under way."""
        try:
            size = Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return
        if size > (self._idle_log_bytes if idle else _LOG_BYTES_MOST):
            with self._write_lock, self._explained():
                self._open_writer().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def shrink(self) -> None:
        """Give the space of deleted rows back, and leave nothing of them in the file."""
        with self._write_lock, self._explained():
            connection = self._open_writer()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close both connections; the next use opens them again."""
        with self._write_lock, self._read_lock:
            self._drop()

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_corrupt(error):
                self._damaged = True
            elif was_moved(error) and self._is_elsewhere():
                self._drop()
            raise database_error(error, self.path) from error
        except OSError as error:
            raise disk_error(error, Path(str(error.filename or self.path))) from error

    def _is_elsewhere(self) -> bool:
        """Whether the path no longer leads to the file that was opened."""
        try:
            return self._file is None or not os.path.samestat(self._file, self.path.stat())
        except OSError:
            return True

    def _open_writer(self) -> sqlite3.Connection:
        with self._open_lock:
            if self._damaged or (self._writer is not None and self._is_elsewhere()):
                self._drop()
            if self._writer is None:
                self._lock_path.parent.mkdir(parents=True, exist_ok=True)
                with exclusive(self._lock_path):
                    self._writer = self._connect_checked()
                    self._file = self.path.stat()
                self._damaged = False
            return self._writer

    def _open_reader(self) -> sqlite3.Connection:
        with self._open_lock:
            self._open_writer()
            if self._reader is None:
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only = 1")
            return self._reader

    def _drop(self) -> None:
        with self._open_lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
            self._reader = self._writer = None

    def _connect(self) -> sqlite3.Connection:
        # Transactions are ours (isolation_level None); the locks above keep threads apart.
        connection = sqlite3.connect(
            self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _connect_checked(self) -> sqlite3.Connection:
        """The writing connection; a database that turns out to be damaged is replaced by a new one."""
        try:
            return self._prepare()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            return self._prepare(self._put_aside(error))

    def _prepare(self, aside: Path | None = None) -> sqlite3.Connection:
        new = not self.path.exists() or self.path.stat().st_size == 0
        to_check = self._damaged or self._is_to_be_checked()
        connection = self._connect()
        try:
            require_known(connection, self.path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = 1")  # macOS: an ordinary sync stops at the drive's cache there
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_KEPT}")
            if to_check:
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
                if found != "ok":
                    raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")
            migrate(connection, self.path)
            _drop_search_index(connection)
            self._opened(connection, aside, new)
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_to_be_checked(self) -> bool:
        """Whether to read the whole file through on opening: 10 ms for 5,000 calls, 110 ms for 100,000."""
        # A log that was not moved into the database means that its process was killed, or that the folder is a copy.
        sizes = [path.stat().st_size if path.exists() else 0 for path in (self.path, Path(f"{self.path}-wal"))]
        return sizes[0] < _ALWAYS_CHECKED_BYTES or sizes[1] > 0

    def _put_aside(self, error: sqlite3.DatabaseError) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}-{number}")
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{ending}").replace(f"{aside}{ending}")
        _log.warning(
            "The history %s was damaged (%s). It was put aside as %s, and a new one begun; the images are untouched.",
            self.path,
            error,
            aside.name,
        )
        return aside


def _drop_search_index(connection: sqlite3.Connection) -> None:
    """Remove the index of earlier versions, which no search updates any more: it even holds deleted prompts."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'prompt_index'").fetchone():
        # This SQLite may have been built without the index's module.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("DROP TABLE prompt_index")
            connection.execute("DELETE FROM marks WHERE name = 'indexed'")


def require_row(changed: int, call_id: int) -> None:
    """Raise `HistoryError` if a step changed no row: the call was cleared."""
    if not changed:
        raise HistoryError(
            f"The history has lost call {call_id}: it was cleared, or its file was replaced.", "Run again."
        )


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the database up to the newest version, in one transaction."""
    require_known(connection, path, migrations)
    if version_of(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it between the check and the lock.
        for statements in migrations[version_of(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def require_known(
    connection: sqlite3.Connection, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS
) -> None:
    """Raise `HistoryError` if a newer version of this pack wrote the database."""
    if version_of(connection) > len(migrations):
        raise HistoryError(
            f"The history {path} was written by a newer version of this pack.",
            "Update the pack, or set NANOBANANA_HOME to another folder.",
        )


def version_of(connection: sqlite3.Connection) -> int:
    """The version that the database says it has; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def disk_error(error: OSError, path: Path) -> HistoryError:
    """The `HistoryError` for an `OSError` at `path`."""
    if error.errno in _FULL:
        return _full(path.parent)
    if isinstance(error, PermissionError):
        return HistoryError(
            f"{path} can't be written: permission denied.",
            f"Give yourself write access to it, or set NANOBANANA_HOME to another folder. {_RETRY}",
        )
    return HistoryError(
        f"{path} can't be read or written: {error.strerror or error}.",
        f"Check the disk, or set NANOBANANA_HOME to another folder. {_RETRY}",
    )


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file is no longer a database (by its message: Python 3.10 has no error names)."""
    return any(text in str(error) for text in ("malformed", "not a database"))


def was_moved(error: sqlite3.Error) -> bool:
    """Whether `error` may come from the file having been moved away under the open connection."""
    return any(text in str(error) for text in ("readonly", "disk I/O error"))


def database_error(error: sqlite3.Error, path: Path) -> HistoryError:
    """The `HistoryError` for an error of SQLite on the database at `path`."""
    message = str(error)
    if "full" in message:
        return _full(path.parent)
    if "locked" in message or "busy" in message:
        return HistoryLocked(
            f"The history {path} is locked by another program.",
            "Close what else has it open (a database browser, a backup), then run again.",
        )
    if "readonly" in message or "unable to open" in message:
        return HistoryError(
            f"The history {path} can't be written.",
            "Give yourself write access to it and its folder, or set NANOBANANA_HOME to another folder.",
        )
    if is_corrupt(error):
        return HistoryError(
            f"The history {path} is damaged ({message}).",
            "Run again: the damaged file is put aside, and the history is rebuilt. The images stay on disk.",
        )
    return HistoryError(f"The history {path} failed: {message}.", "Check that its disk is not full, then run again.")


def _full(folder: Path) -> HistoryError:
    return HistoryError(
        f"The disk that holds {folder} is full.",
        f"Free some space, or set NANOBANANA_HOME to a folder on another disk. {_RETRY}",
    )
