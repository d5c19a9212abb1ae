"""Looking back: pages of calls, search, totals."""

from __future__ import annotations

from datetime import datetime, timedelta

from .database import Database
from .files import ImageFiles
from .records import DayTotal, HistoryPage, load_calls, plain

_MOST_ROWS = 500
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
    """The last `days` days, newest first, except those on which nothing was asked."""
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (midnight - timedelta(days=max(1, days) - 1)).timestamp()
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT date(asked_at, 'unixepoch', 'localtime') AS day, count(*) AS calls,"
            " sum((SELECT count(*) FROM pictures AS p WHERE p.call_id = c.id AND p.position >= 0)) AS images,"
            " sum(billed = 'yes') AS billed, sum(billed = 'maybe') AS maybe_billed,"
            " total(CASE WHEN billed = 'yes' THEN cost END) AS cost,"
            " total(CASE WHEN billed = 'maybe' THEN cost END) AS maybe_cost,"
            " sum(billed = 'yes' AND cost IS NULL) AS unpriced"
            " FROM calls AS c WHERE asked_at >= ? GROUP BY day ORDER BY day DESC",
            (since,),
        ).fetchall()
    return tuple(DayTotal(**{name: row[name] for name in row.keys()}) for row in rows)  # noqa: SIM118
