"""From the database's rows to records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from ..image_request import ImageRequest
from .files import ImageFiles
from .records import CallDetails, CallKey, CallRecord, ImageRecord


def load_call(connection: sqlite3.Connection, files: ImageFiles, call_id: int) -> CallRecord | None:
    """The call with its URLs and images, or None."""
    rows = connection.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchall()
    return next(iter(load_calls(connection, files, rows)), None)


def load_calls(
    connection: sqlite3.Connection, files: ImageFiles, rows: Sequence[sqlite3.Row]
) -> tuple[CallRecord, ...]:
    """Rows of `calls` as records, in their order; three statements however many there are."""
    ids = [row["id"] for row in rows]
    marks = ",".join("?" * len(ids))
    urls: dict[int, list[str]] = {}
    for row in connection.execute(f"SELECT * FROM urls WHERE call_id IN ({marks}) ORDER BY call_id, position", ids):
        urls.setdefault(row["call_id"], []).append(row["url"])
    images: dict[int, list[ImageRecord]] = {}
    for row in connection.execute(f"SELECT * FROM pictures WHERE call_id IN ({marks}) ORDER BY call_id, position", ids):
        images.setdefault(row["call_id"], []).append(image_of(row, files))
    return tuple(_call_of(row, urls.get(row["id"], ()), images.get(row["id"], ())) for row in rows)


def image_of(row: sqlite3.Row, files: ImageFiles) -> ImageRecord:
    """A row of `pictures` as a record."""
    return ImageRecord(
        id=row["id"],
        call_id=row["call_id"],
        position=row["position"],
        url=row["url"],
        sha256=row["sha256"],
        extension=row["extension"],
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        path=files.path(row["sha256"], row["extension"]),
    )


def plain(text: str) -> str:
    """`text` as the database can hold it: half of a character (a lone surrogate) becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _call_of(row: sqlite3.Row, urls: Iterable[str], images: Iterable[ImageRecord]) -> CallRecord:
    return CallRecord(
        id=row["id"],
        key=CallKey(row["fingerprint"], row["variation"]),
        details=CallDetails(
            ImageRequest(row["model"], row["prompt"], row["aspect_ratio"], row["output_format"], seed=int(row["seed"])),
            dialect=row["dialect"],
            profile=row["profile"],
            base_url=row["base_url"],
            inputs=row["inputs"],
            cost=row["cost"],
        ),
        state=row["state"],
        run=row["run"],
        asked_at=row["asked_at"],
        sent_at=row["sent_at"],
        request_id=row["request_id"],
        billed=row["billed"],
        error=row["error"],
        text=row["text"],
        urls=tuple(urls),
        images=tuple(images),
        seconds=row["seconds"],
    )
