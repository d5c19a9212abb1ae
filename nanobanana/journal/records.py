"""What the history holds, as values: read from the database's rows, and written to them."""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ..errors import Billed
from ..image_request import ImageRequest

# Where the file of a whole answer stands among a call's images, which are counted from 0.
ANSWER_POSITION: Final = -1
# And where what a node made of its first image stands, that of its second one below.
_COMPOSITES: Final = -2
# Stands before the name of a task that the gateway queued, in the place of an image's address.
TASK: Final = "task:"
_POLL_SECONDS: Final = 0.01
# Gives the path of the file with a hash and an extension.
PathOf = Callable[[str, str], Path]
State = Literal["asked", "sent", "answered", "kept", "failed"]
What = Literal["ask", "answered", "kept", "failed"]


@dataclass(frozen=True)
class CallKey:
    """One image that is wanted: the request's fingerprint and the number of the variation, 0 and up."""

    fingerprint: str
    variation: int


@dataclass(frozen=True)
class CallDetails:
    """What was asked, for the history. `inputs`: how many images went with it. `cost`: its price if one is set.

    `queued_at`: when the person decided, in Unix seconds; infinity if that isn't known. It isn't stored.
    """

    request: ImageRequest
    dialect: str
    profile: str
    base_url: str
    inputs: int = 0
    cost: float | None = None
    queued_at: float = math.inf


@dataclass(frozen=True)
class ImageRecord:
    """One image on disk.

    `id`: opaque, safe in a URL, never reused. `position`: the image's place in its answer, 0 and up. `url`: where it
    came from, empty for an image that came inline. `bytes`: the file's length. `width`, `height`: pixels, None until
    it has been decoded.
    """

    id: str
    call_id: int
    position: int
    url: str
    sha256: str
    extension: str
    width: int | None
    height: int | None
    bytes: int
    path: Path


@dataclass(frozen=True)
class CallRecord:
    """One call. Times are Unix seconds, `seconds` is how long it took; None if it didn't get that far.

    `error` is empty unless the call failed; `billed` is `no` until something says otherwise. `answer`: the file of the
    whole answer, when no image was found in it. `composites`: what a node made of the images, by their position in
    the answer. `notes`: lines about what happened on the way.
    """

    id: int
    key: CallKey
    details: CallDetails
    state: State
    run: str
    asked_at: float
    sent_at: float | None = None
    request_id: str = ""
    billed: Billed = "no"
    error: str = ""
    text: str = ""
    urls: tuple[str, ...] = ()
    images: tuple[ImageRecord, ...] = ()
    answer: ImageRecord | None = None
    composites: Mapping[int, ImageRecord] = field(default_factory=dict[int, ImageRecord])
    seconds: float | None = None
    notes: str = ""


@dataclass(frozen=True)
class Claim:
    """What a claim found.

    `what`: `kept`, take `record.images` from disk; `answered`, the call is ours: download those of `record.urls` that
    aren't among `record.images` yet; `ask`, the call is ours and on disk as asked: send it; `failed`, the same request
    failed in this same run and may have been billed: don't send, report `record.error`.
    `earlier`: an older call for the same image that may have been billed and brought none, for the node to mention.
    """

    what: What
    record: CallRecord
    earlier: CallRecord | None = None

    @property
    def owned(self) -> bool:
        """Whether the call is the caller's, who must end it with `kept`, `failed` or `release`."""
        return self.what in ("ask", "answered")


@dataclass(frozen=True)
class HistoryPage:
    """Calls, newest first. `before`: the cursor of the next page, None at the end."""

    calls: tuple[CallRecord, ...]
    before: int | None


@dataclass(frozen=True)
class DayTotal:
    """One day (`2026-01-31`, local time) of one profile.

    `cost`: of the billed calls with a price; `maybe_cost`: of those that may have been billed. `unpriced`: billed calls
    whose price isn't known.
    """

    day: str
    profile: str
    calls: int
    images: int
    billed: int
    maybe_billed: int
    cost: float
    maybe_cost: float
    unpriced: int


@dataclass(frozen=True)
class JournalStats:
    """`bytes`: of the image files on disk, those without a row included. `calls`: how many in each state."""

    calls: Mapping[str, int]
    images: int
    bytes: int
    cap_bytes: int


@dataclass(frozen=True)
class Cleared:
    """How much clearing or trimming removed."""

    calls: int
    images: int
    bytes: int


def load_call(connection: sqlite3.Connection, path_of: PathOf, call_id: int) -> CallRecord | None:
    """The call with its URLs and images, or None."""
    rows = connection.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchall()
    return next(iter(load_calls(connection, path_of, rows)), None)


def load_calls(connection: sqlite3.Connection, path_of: PathOf, rows: Sequence[sqlite3.Row]) -> tuple[CallRecord, ...]:
    """Rows of `calls` as records, in their order; two statements however many there are."""
    ids = [row["id"] for row in rows]
    marks = ",".join("?" * len(ids))
    urls: dict[int, list[str]] = {}
    for row in connection.execute(f"SELECT * FROM urls WHERE call_id IN ({marks}) ORDER BY call_id, position", ids):
        urls.setdefault(row["call_id"], []).append(row["url"])
    images: dict[int, list[ImageRecord]] = {}
    answers: dict[int, ImageRecord] = {}
    composites: dict[int, dict[int, ImageRecord]] = {}
    for row in connection.execute(f"SELECT * FROM pictures WHERE call_id IN ({marks}) ORDER BY call_id, position", ids):
        if row["position"] == ANSWER_POSITION:
            answers[row["call_id"]] = image_of(row, path_of)
        elif row["position"] <= _COMPOSITES:
            composites.setdefault(row["call_id"], {})[composite_of(row["position"])] = image_of(row, path_of)
        else:
            images.setdefault(row["call_id"], []).append(image_of(row, path_of))
    return tuple(
        _call_of(
            row,
            urls.get(row["id"], ()),
            images.get(row["id"], ()),
            answers.get(row["id"]),
            composites.get(row["id"], {}),
        )
        for row in rows
    )


def composite_of(position: int) -> int:
    """Where what a node made of the image at `position` stands; and the other way round."""
    return _COMPOSITES - position


def image_of(row: sqlite3.Row, path_of: PathOf) -> ImageRecord:
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
        path=path_of(row["sha256"], row["extension"]),
    )


class Pending:
    """Something that waits to be written with the next transaction, whoever's. `done`: set when it is on disk."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it; called again if the transaction fails. Raises what SQLite raises, and nothing else."""


class Address(Pending):
    """An image's address on its way to the disk. `written`: the number of rows."""

    def __init__(self, call_id: int, position: int, url: str) -> None:
        super().__init__()
        self.values = (position, url, call_id)
        self.written = 0

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it into the place of an earlier one at the same position."""
        self.written = connection.execute(
            "INSERT INTO urls (call_id, position, url) SELECT id, ?, ? FROM calls WHERE id = ?"
            " ON CONFLICT (call_id, position) DO UPDATE SET url = excluded.url",
            self.values,
        ).rowcount


class NewImage(Pending):
    """An image's row on its way to the disk, where its file is already. `values`: those of `write_image` behind the id.

    `record`: the row, None if the call is gone. `gone`: the file was removed meanwhile, which clearing may do.
    """

    def __init__(self, values: tuple[int, int, str, str, str, int, float], path_of: PathOf) -> None:
        super().__init__()
        self.values = values
        self.record: ImageRecord | None = None
        self.gone = False
        self._path_of = path_of

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it into the place of an earlier one at the same position. Files are removed in transactions only."""
        call_id, position, _, sha256, extension, *_ = self.values
        self.record = None
        self.gone = not self._path_of(sha256, extension).exists()
        if not self.gone and write_image(connection, secrets.token_urlsafe(12), *self.values):
            statement = "SELECT * FROM pictures WHERE call_id = ? AND position = ?"
            self.record = image_of(connection.execute(statement, (call_id, position)).fetchone(), self._path_of)


class PendingRows:
    """Rows of many calls that are written together: of those that are answered at once none waits for more than two
    transactions. Safe for threads."""

    def __init__(self) -> None:
        self._waiting: list[Pending] = []
        self._turn = threading.Lock()

    def write(self, connection: sqlite3.Connection) -> list[Pending]:
        """Write all that wait, in a transaction of whatever kind; returns them, to be marked as done behind it."""
        waiting = [one for one in tuple(self._waiting) if not one.done.is_set()]
        for one in waiting:
            one.write(connection)
        return waiting

    def written(self, mine: Pending, transaction: Callable[[], AbstractContextManager[object]]) -> None:
        """Return when `mine` is on disk: one thread makes transactions, each of which takes along all that wait."""
        self._waiting.append(mine)
        try:
            while not mine.done.is_set():
                if self._turn.acquire(blocking=False):
                    try:
                        while not all(one.done.is_set() for one in tuple(self._waiting)):
                            with transaction():
                                pass
                    finally:
                        self._turn.release()
                mine.done.wait(_POLL_SECONDS)
        finally:
            self._waiting.remove(mine)


def write_image(
    connection: sqlite3.Connection,
    image_id: str,
    call_id: int,
    position: int,
    url: str,
    sha256: str,
    extension: str,
    size: int,
    now: float,
) -> int:
    """Write an image's row, in place of an earlier one at the same position; returns the number of rows."""
    return connection.execute(
        "INSERT INTO pictures (id, call_id, position, url, sha256, extension, bytes, kept_at)"
        " SELECT ?, id, ?, ?, ?, ?, ?, ? FROM calls WHERE id = ?"
        " ON CONFLICT (call_id, position) DO UPDATE SET url = excluded.url, sha256 = excluded.sha256,"
        " extension = excluded.extension, width = NULL, height = NULL, bytes = excluded.bytes,"
        " kept_at = excluded.kept_at",
        (image_id, position, url, sha256, extension, size, now, call_id),
    ).rowcount


def plain(text: str) -> str:
    """`text` as the database can hold it: half of a character (a lone surrogate) becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _call_of(
    row: sqlite3.Row,
    urls: Iterable[str],
    images: Iterable[ImageRecord],
    answer: ImageRecord | None,
    composites: Mapping[int, ImageRecord],
) -> CallRecord:
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
        notes=row["notes"],
        text=row["text"],
        urls=tuple(urls),
        images=tuple(images),
        answer=answer,
        composites=composites,
        seconds=row["seconds"],
    )
