"""Looking into the data folder, and clearing it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from ..cancel import Clock
from ..errors import HistoryError
from . import history
from .database import Database
from .eviction import Evictor
from .failures import disk_error
from .files import ImageFiles, Writer, write_all
from .leases import Leases
from .locks import handle_forks, remove_dead
from .records import CallRecord, Cleared, DayTotal, HistoryPage, ImageRecord, JournalStats
from .rows import image_of, load_call, plain

DEFAULT_CAP: Final = 2 << 30


class Archive:
    """The data folder: `journal.sqlite3`, `pictures/` and `locks/`. Opened when first used.

    Safe for threads, and several processes may share a folder. Every method raises `HistoryError` when the folder
    can't be read or written. `clock` gives Unix seconds; `cap_bytes`: how many bytes of images are kept; `write`
    puts an image's bytes into its open file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = time.time,
        cap_bytes: int = DEFAULT_CAP,
        write: Writer = write_all,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._locks = folder / "locks"
        self._database = Database(folder / "journal.sqlite3", self._locks / "journal.lock")
        self._files = ImageFiles(folder / "pictures", write)
        self._ownership = Leases(self._locks)
        is_worked_on = self._ownership.is_worked_on
        self._trimmer = Evictor(self._database, self._files, is_worked_on, cap_bytes=cap_bytes, clock=clock)
        self._prepare_lock = threading.Lock()
        self._prepared = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and end the sign of life; calls still held look abandoned from now on."""
        self._database.close()
        self._ownership.close()

    def call(self, call_id: int) -> CallRecord | None:
        """The call, or None when it was released or cleared."""
        with self._reading() as connection:
            return load_call(connection, self._files, call_id)

    def image(self, image_id: str) -> ImageRecord:
        """The image with this id. Raises `HistoryError` when it isn't in the journal."""
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM pictures WHERE id = ?", (plain(image_id),)).fetchone()
        if row is None:
            raise HistoryError(
                "This image isn't in the history of this computer.",
                "It may have been cleared or trimmed, or was made elsewhere: choose another from the history.",
            )
        return image_of(row, self._files)

    def read(self, record: ImageRecord) -> bytes:
        """The image's original bytes, checked. Raises `HistoryError` when they are gone or were changed."""
        return self._files.read(record)

    def set_size(self, image_id: str, width: int, height: int) -> None:
        """Note an image's size in pixels, once it was decoded."""
        with self._writing() as connection:
            connection.execute("UPDATE pictures SET width = ?, height = ? WHERE id = ?", (width, height, image_id))

    def history(self, *, before: int | None = None, limit: int = 50, search: str = "") -> HistoryPage:
        """Calls, newest first. `before`: the last page's cursor. `limit`: 1 to 500. `search`: see `history.page`."""
        self._prepare()
        return history.page(self._database, self._files, before=before, limit=limit, search=search)

    def totals_by_day(self, days: int = 30) -> tuple[DayTotal, ...]:
        """Calls, images and cost of each of the last `days` days, newest first."""
        self._prepare()
        return history.totals_by_day(self._database, days, self._clock())

    def stats(self) -> JournalStats:
        """How much there is."""
        with self._reading() as connection:
            calls = dict(map(tuple, connection.execute("SELECT state, count(*) FROM calls GROUP BY state")))
            images = connection.execute("SELECT count(*) FROM pictures").fetchone()[0]
        files = list(self._files.listing())
        return JournalStats(calls, images, len(files), sum(one.bytes for one in files), self._trimmer.cap_bytes)

    def trim(self) -> Cleared:
        """Remove the oldest images until the rest is below the cap; `keep` does it by itself."""
        self._prepare()
        return self._trimmer.trim()

    def clear(self, *, older_than: float | None = None, calls: Sequence[int] | None = None) -> Cleared:
        """Remove calls with their images: asked before `older_than` (Unix seconds), those in `calls`, or all.

        What is under way stays. A cleared image is asked for, and billed, again.
        """
        self._prepare()
        return self._trimmer.clear(older_than=older_than, calls=calls)

    def _prepare(self) -> None:
        with self._prepare_lock:
            if self._prepared:
                return
            try:
                self._locks.mkdir(parents=True, exist_ok=True)
                self._files.prepare()
                remove_dead(self._locks)
            except OSError as error:
                raise disk_error(error, self.folder) from error
            handle_forks()
            self._prepared = True

    @contextlib.contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        self._prepare()
        with self._database.writing() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        self._prepare()
        with self._database.reading() as connection:
            yield connection
