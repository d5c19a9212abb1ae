"""Looking back: pages of calls, search, totals."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime, timedelta

from ..errors import HistoryError
from .database import Database
from .files import ImageFiles
from .records import DayTotal, HistoryPage
from .rows import load_calls, plain

_MOST_ROWS = 500
# The search index is filled by the searches themselves, so that a call's own steps stay cheap: each search takes in
# what is new for at most this long, and looks through the rest row by row.
_INDEX_SECONDS = 0.25
_INDEX_BATCH = 200
# The index holds groups of three characters: it can't find shorter words.
_SHORTEST_INDEXED = 3
_NO_INDEX = "no such"  # "no such module: fts5", "no such tokenizer: trigram" (before SQLite 3.34)
_SEARCHED = "(c.prompt || char(10) || c.model)"


def page(
    database: Database,
    files: ImageFiles,
    *,
    before: int | None = None,
    limit: int = 50,
    search: str = "",
    index_seconds: float = _INDEX_SECONDS,
) -> HistoryPage:
    """At most `limit` calls older than the cursor `before`, newest first, that hold every word of `search`.

    Words are looked for in the prompt and the model's name, as parts of words too; ASCII letters without case.
    `index_seconds`: how long this search may fill the index.
    """
    limit = max(1, min(limit, _MOST_ROWS))
    words = plain(search).replace("\0", " ").split()
    mark = _fill_index(database, index_seconds) if any(len(word) >= _SHORTEST_INDEXED for word in words) else None
    conditions = ["c.id < ?"] if before is not None else []
    values: list[object] = [before] if before is not None else []
    if mark is not None:
        conditions.append("(c.id > ? OR c.id IN (SELECT rowid FROM prompt_index WHERE prompt_index MATCH ?))")
        quoted = ('"' + word.replace('"', '""') + '"' for word in words if len(word) >= _SHORTEST_INDEXED)
        values += [mark, " ".join(quoted)]
    for word in words:
        conditions.append(f"{_SEARCHED} LIKE ? ESCAPE '\\'")
        values.append("%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    with database.reading() as connection:
        rows = connection.execute(
            f"SELECT c.* FROM calls AS c {where} ORDER BY c.id DESC LIMIT ?", [*values, limit + 1]
        ).fetchall()
        calls = load_calls(connection, files, rows[:limit])
    return HistoryPage(calls, calls[-1].id if len(rows) > limit else None)


def totals_by_day(database: Database, days: int, now: float) -> tuple[DayTotal, ...]:
    """The last `days` days, newest first, without those on which nothing was asked."""
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (midnight - timedelta(days=max(1, days) - 1)).timestamp()
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT date(asked_at, 'unixepoch', 'localtime') AS day, count(*) AS calls,"
            " sum((SELECT count(*) FROM pictures AS p WHERE p.call_id = c.id)) AS images,"
            " sum(billed = 'yes') AS billed, sum(billed = 'maybe') AS maybe_billed,"
            " total(CASE WHEN billed = 'yes' THEN cost END) AS cost,"
            " total(CASE WHEN billed = 'maybe' THEN cost END) AS maybe_cost,"
            " sum(billed = 'yes' AND cost IS NULL) AS unpriced"
            " FROM calls AS c WHERE asked_at >= ? GROUP BY day ORDER BY day DESC",
            (since,),
        ).fetchall()
    return tuple(DayTotal(**{name: row[name] for name in row.keys()}) for row in rows)  # noqa: SIM118


def drop_index(connection: sqlite3.Connection) -> None:
    """Forget the search index, deleted prompts included; the next search begins it anew."""
    if not _has_index(connection):
        return
    try:
        connection.execute("DROP TABLE prompt_index")
    except sqlite3.OperationalError as error:
        if _NO_INDEX not in str(error):
            raise
        return
    connection.execute("DELETE FROM marks WHERE name = 'indexed'")


def _fill_index(database: Database, seconds: float) -> int | None:
    """Take new calls into the index; the id up to which it reaches, None where this SQLite has no such index."""
    end = time.monotonic() + seconds
    try:
        while True:
            with database.writing() as connection:
                mark, taken = _fill_batch(connection)
            if taken < _INDEX_BATCH or time.monotonic() >= end:
                return mark
    except HistoryError as error:
        if isinstance(error.__cause__, sqlite3.OperationalError) and _NO_INDEX in str(error.__cause__):
            return None
        raise


def _fill_batch(connection: sqlite3.Connection) -> tuple[int, int]:
    if not _has_index(connection):
        # Without the text itself (content='') the index is small; rows of deleted calls lead nowhere and do no harm,
        # since ids are never used again.
        connection.execute(
            "CREATE VIRTUAL TABLE prompt_index USING fts5(words, content='', columnsize=0, tokenize='trigram')"
        )
    # Another Python may have made the index: does this one know it?
    connection.execute("SELECT rowid FROM prompt_index LIMIT 0")
    row = connection.execute("SELECT value FROM marks WHERE name = 'indexed'").fetchone()
    mark: int = row[0] if row is not None else 0
    rows = connection.execute(
        f"SELECT c.id, {_SEARCHED} FROM calls AS c WHERE c.id > ? ORDER BY c.id LIMIT ?", (mark, _INDEX_BATCH)
    ).fetchall()
    if rows:
        connection.executemany("INSERT INTO prompt_index (rowid, words) VALUES (?, ?)", [tuple(one) for one in rows])
        mark = rows[-1][0]
        connection.execute("INSERT OR REPLACE INTO marks (name, value) VALUES ('indexed', ?)", (mark,))
    return mark, len(rows)


def _has_index(connection: sqlite3.Connection) -> bool:
    found: sqlite3.Row | None = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'prompt_index'").fetchone()
    return found is not None
