"""The database's tables, and how an older one becomes a newer one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import HistoryError

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
MIGRATIONS: tuple[tuple[str, ...], ...] = (_CREATE,)


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the database up to the newest version, in one transaction."""
    require_known(connection, path, migrations)
    if version_of(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it between the look and the lock.
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
    """Raise `HistoryError` when a newer version of this pack wrote the database."""
    if version_of(connection) > len(migrations):
        raise HistoryError(
            f"The journal {path} was written by a newer version of this pack.",
            "Update the pack, or set NANOBANANA_HOME to another folder.",
        )


def version_of(connection: sqlite3.Connection) -> int:
    """The version that the database says it has; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
