"""Looking back: pages of calls, search, totals."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable
from datetime import datetime, timedelta

from ..catalog import SIMULATOR
from .database import Database
from .files import ImageFiles
from .records import DayTotal, HistoryPage, load_calls, plain

_MOST_ROWS = 500
# How far back a usual time is looked for, and how many calls make one.
_LOOKED_AT, _LIKE_THESE = 2000, 21
_SEARCHED = "(c.prompt || char(10) || c.model)"


def page(
    database: Database,
    files: ImageFiles,
    *,
    before: int | None = None,
    limit: int = 50,
    search: str = "",
) -> HistoryPage:
    """At most `limit` calls older than the cursor `before`, newest first, that contain every word of `search`.

    Prompts and models' names are searched, parts of words included, ignoring the case of ASCII letters. Each search
    reads every prompt: 100,000 calls take some 40 ms.
    """
    limit = max(1, min(limit, _MOST_ROWS))
    words = plain(search).replace("\0", " ").split()
    conditions = ["c.id < ?"] if before is not None else []
    values: list[object] = [before] if before is not None else []
    for word in words:
        conditions.append(f"{_SEARCHED} LIKE ? ESCAPE '\\'")
        values.append("%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    with database.reading() as connection:
        rows = connection.execute(
            f"SELECT c.* FROM calls AS c {where} ORDER BY c.id DESC LIMIT ?", [*values, limit + 1]
        ).fetchall()
        calls = load_calls(connection, files.path, rows[:limit])
    return HistoryPage(calls, calls[-1].id if len(rows) > limit else None)


def totals_by_day(database: Database, days: int, now: float) -> tuple[DayTotal, ...]:
    """The last `days` days, newest first, except those on which nothing was asked, by profile: each has its currency.

    What was simulated doesn't count.
    """
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (midnight - timedelta(days=max(1, days) - 1)).timestamp()
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT date(asked_at, 'unixepoch', 'localtime') AS day, profile, count(*) AS calls,"
            " sum((SELECT count(*) FROM pictures AS p WHERE p.call_id = c.id AND p.position >= 0)) AS images,"
            " sum(billed = 'yes') AS billed, sum(billed = 'maybe') AS maybe_billed,"
            " total(CASE WHEN billed = 'yes' THEN cost END) AS cost,"
            " total(CASE WHEN billed = 'maybe' THEN cost END) AS maybe_cost,"
            " sum(billed = 'yes' AND cost IS NULL) AS unpriced"
            " FROM calls AS c WHERE asked_at >= ? AND base_url != ? GROUP BY day, profile ORDER BY day DESC, profile",
            (since, SIMULATOR),
        ).fetchall()
    return tuple(DayTotal(**{name: row[name] for name in row.keys()}) for row in rows)  # noqa: SIM118


def spent(profile: str, since: float) -> Callable[[sqlite3.Connection], float]:
    """For `Journal.look`: what the calls of a profile have cost since a moment (Unix seconds), may have cost, or are
    about to."""

    def look(connection: sqlite3.Connection) -> float:
        row: sqlite3.Row = connection.execute(
            "SELECT total(cost) AS cost FROM calls WHERE asked_at >= ? AND profile = ? AND base_url != ?"
            " AND (billed != 'no' OR state IN ('asked', 'sent'))",
            (since, plain(profile), SIMULATOR),
        ).fetchone()
        return float(row["cost"])

    return look


def usual_seconds(model: str, base_url: str) -> Callable[[sqlite3.Connection], float]:
    """For `Journal.look`: the median time of the last calls like these that brought an image; 0 if there were none."""

    def look(connection: sqlite3.Connection) -> float:
        rows = connection.execute(
            "SELECT seconds FROM (SELECT * FROM calls ORDER BY id DESC LIMIT ?)"
            " WHERE model = ? AND base_url = ? AND state = 'kept' AND seconds IS NOT NULL LIMIT ?",
            (_LOOKED_AT, plain(model), plain(base_url), _LIKE_THESE),
        ).fetchall()
        return statistics.median(row["seconds"] for row in rows) if rows else 0.0

    return look
