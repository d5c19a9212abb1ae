"""The history: every call, step by step on disk, and looking back at them."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..cancel import CancelToken, Clock
from ..errors import Billed, HistoryError, Log
from . import claims, history
from .backup import Backup
from .claims import HoldsImage, no_image_in
from .database import Database, disk_error, require_row
from .eviction import Evictor
from .files import ANSWER, ImageFiles, Writer, safe_extension, write_all
from .locks import Leases, remove_dead
from .records import (
    ANSWER_POSITION,
    Address,
    CallDetails,
    CallKey,
    CallRecord,
    Claim,
    Cleared,
    DayTotal,
    HistoryPage,
    ImageRecord,
    JournalStats,
    NewImage,
    PendingRows,
    image_of,
    load_call,
    plain,
)

_log = Log(__name__)

DEFAULT_CAP: Final = 2 << 30
_POLL_SECONDS: Final = 0.1
_WAITING: Final = "Waiting for the same image, which is being made already."
_MOST_TEXT: Final = 200_000  # characters of the model's words


class Journal:
    """The history in `folder`: `journal.sqlite3`, its copy, `pictures/` and `locks/`. Opened when first used.

    A call's steps: claim, sent, url, answered, keep, kept; or failed, or release. What a method writes is on disk
    before it returns, some 0.5 ms a step on an SSD. Safe for threads, and several processes may share a folder; a
    process forked while one is open must not use it. Every method raises `HistoryError` if the folder can't be read
    or written. `clock` gives Unix seconds; `cap_bytes`: how many bytes of images stay; `write` puts an image's bytes
    into its open file.
    """

    def __init__(
        self, folder: Path, *, clock: Clock = time.time, cap_bytes: int = DEFAULT_CAP, write: Writer = write_all
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._locks = folder / "locks"
        self._files = ImageFiles(folder / "pictures", write)
        self._backup = Backup(folder, self._files)
        opened = self._backup.opened
        self._database = Database(folder / "journal.sqlite3", self._locks / "journal.lock", opened=opened)
        self._leases = Leases(self._locks)
        parts = (self._database, self._files, self._backup, self._leases.is_worked_on)
        self._evictor = Evictor(*parts, cap_bytes=cap_bytes, clock=clock)
        self._pending = PendingRows()
        self._prepare_lock = threading.Lock()
        self._prepared = False

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and end the sign of life; calls still held look abandoned from now on."""
        self._database.close()
        self._leases.close()

    def claim(
        self,
        key: CallKey,
        details: CallDetails,
        *,
        cancel: CancelToken,
        on_wait: Callable[[str], None],
        run: str,
        holds_image: HoldsImage = no_image_in,
    ) -> Claim:
        """Find out what becomes of a wanted image; waits while a living owner is at work on it.

        `run` names one execution of the graph by a person: within it, what failed and may have been billed is not
        asked again, and nothing is if it found the history rebuilt. An empty `run` never matches. `on_wait` gets a
        sentence when the waiting begins. `holds_image`: see `Claimant`.
        A claim that is `owned` must end with `kept`, `failed` or `release` (see `claimed`): others of its key wait for
        that. Claim before waiting for anything that the owner of the same key may need, such as a place among the
        parallel calls. Raises `Cancelled` while waiting, `HistoryError` when the folder fails.
        """
        waiting_since = math.inf
        while True:
            cancel.check()
            claim = self._decide(key, details, run, holds_image, waiting_since)
            if claim is not None:
                return claim
            if waiting_since == math.inf:
                on_wait(_WAITING)
                waiting_since = self._clock()
            while self._is_taken(key):
                cancel.wait(_POLL_SECONDS)

    @contextlib.contextmanager
    def claimed(
        self,
        key: CallKey,
        details: CallDetails,
        *,
        cancel: CancelToken,
        on_wait: Callable[[str], None],
        run: str,
        holds_image: HoldsImage = no_image_in,
    ) -> Generator[Claim]:
        """`claim`, and `release` if the call is still held when the block is left."""
        claim = self.claim(key, details, cancel=cancel, on_wait=on_wait, run=run, holds_image=holds_image)
        try:
            yield claim
        finally:
            if claim.owned and self.holds(claim.record.id):
                try:
                    self.release(claim.record.id)
                except HistoryError as error:
                    # The call is released all the same, and the exception that left the block matters more.
                    _log.warning("Call %d could not be released: %s", claim.record.id, error)

    def holds(self, call_id: int) -> bool:
        """Whether the call was claimed here and not yet released."""
        return self._leases.holds(call_id)

    def sent(self, call_id: int) -> None:
        """The request is about to leave: from here on it may be billed. To be called before its first byte leaves."""
        self._step(call_id, "state = 'sent', billed = 'maybe', sent_at = ?", (self._clock(),))

    def revert_to_asked(self, call_id: int, note: str = "") -> None:
        """What was sent cost nothing, and is sent again: back to `asked`. `note`: a line about it for the person."""
        self._step(call_id, "state = 'asked', billed = 'no', sent_at = NULL, notes = notes || ?", (plain(note),))

    def url(self, call_id: int, position: int, url: str) -> None:
        """An image's address, the moment it arrives. A later one for the same `position` replaces it.

        The next transaction, whoever's, takes it along: of many calls answered at once none waits for more than two.
        """
        mine = Address(call_id, position, plain(url))
        self._pending.written(mine, self._writing)
        require_row(mine.written, call_id)

    def answered(
        self,
        call_id: int,
        *,
        request_id: str = "",
        text: str = "",
        urls: Mapping[int, str] | None = None,
        images: int | None = None,
    ) -> None:
        """The answer is complete: billed. `text`: what the model said. `images`: how many it holds; what was saved at
        later positions while it came was none of them.

        `urls`: the addresses by position, replacing those that `url` noted while the answer came; None keeps them.
        """
        values = (self._clock(), plain(request_id), plain(text)[:_MOST_TEXT])
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE calls SET state = 'answered', billed = 'yes', answered_at = ?, request_id = ?, text = ?"
                " WHERE id = ?",
                (*values, call_id),
            ).rowcount
            require_row(changed, call_id)
            if images is not None:
                connection.execute("DELETE FROM pictures WHERE call_id = ? AND position >= ?", (call_id, images))
            if urls is not None:
                connection.execute("DELETE FROM urls WHERE call_id = ?", (call_id,))
                connection.executemany(
                    "INSERT INTO urls (call_id, position, url) VALUES (?, ?, ?)",
                    [(call_id, position, plain(url)) for position, url in urls.items()],
                )
            self._backup.add(connection, call_id)

    def keep(
        self,
        call_id: int,
        position: int,
        data: bytes,
        *,
        extension: str,
        url: str = "",
    ) -> ImageRecord:
        """Put an image's original bytes on disk, synced, then its row; at any time after `sent`.

        `position`: its place in the answer. `extension`: by the bytes' own signature; one we don't know becomes
        `bin`. Raises `HistoryError` if the disk is full: the call's URLs are still in the journal.
        """
        self._prepare()
        extension = safe_extension(extension)
        while True:
            sha256, _ = self._files.save(data, extension)
            image = (call_id, position, plain(url), sha256, extension, len(data), self._clock())
            mine = NewImage(image, self._files.path)
            self._pending.written(mine, self._writing)
            if mine.gone:
                continue
            require_row(int(mine.record is not None), call_id)
            assert mine.record is not None
            self._evictor.added(len(data))
            return mine.record

    def keep_answer(self, call_id: int, data: bytes) -> ImageRecord:
        """Put a whole answer in which no image was found on disk, as `keep` does with an image."""
        return self.keep(call_id, ANSWER_POSITION, data, extension=ANSWER)

    def kept(self, call_id: int, *, seconds: float | None = None) -> None:
        """All of the answer's images are on disk; releases the call. Raises `HistoryError` if there are none."""
        with self._releasing(call_id) as connection:
            changed = connection.execute(
                "UPDATE calls SET state = 'kept', owner = NULL, billed = 'yes', error = '', finished_at = ?,"
                " seconds = ? WHERE id = ? AND EXISTS"
                " (SELECT 1 FROM pictures WHERE call_id = calls.id AND position >= 0)",
                (self._clock(), seconds, call_id),
            ).rowcount
            require_row(changed, call_id)

    def failed(self, call_id: int, *, error: str, billed: Billed, request_id: str = "") -> None:
        """The call failed; releases it. The next run asks anew: for a call whose URLs still work, use `release`.

        `error`: the message for the person. `billed`: `maybe` and `yes` keep this run from asking again.
        """
        with self._releasing(call_id) as connection:
            changed = claims.fail(
                connection,
                call_id,
                error=plain(error),
                billed=billed,
                request_id=plain(request_id),
                now=self._clock(),
            )
            require_row(changed, call_id)

    def release(self, call_id: int) -> None:
        """Release a call, whatever its state, as after a cancel or a failed download.

        If it was not sent, it is deleted. If a URL or an image came, its state stays, and the next claim fetches the
        rest. If it was sent and nothing came, it has failed and may have been billed.
        """
        with self._releasing(call_id) as connection:
            claims.release(connection, call_id, self._clock())

    def call(self, call_id: int) -> CallRecord | None:
        """The call, or None if it was released unsent or cleared."""
        with self._reading() as connection:
            return load_call(connection, self._files.path, call_id)

    def image(self, image_id: str) -> ImageRecord:
        """The image with this id. Raises `HistoryError` if it isn't in the journal."""
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM pictures WHERE id = ?", (plain(image_id),)).fetchone()
        if row is None:
            raise HistoryError(
                "This image isn't in the history of this computer.",
                "It may have been cleared or trimmed, or was made elsewhere: choose another from the history.",
            )
        return image_of(row, self._files.path)

    def read(self, record: ImageRecord) -> bytes:
        """The image's original bytes, checked. Raises `HistoryError` if they are gone or were changed."""
        return self._files.read(record)

    def set_size(self, image_id: str, width: int, height: int) -> None:
        """Note an image's size in pixels, once it has been decoded."""
        with self._writing() as connection:
            connection.execute("UPDATE pictures SET width = ?, height = ? WHERE id = ?", (width, height, image_id))

    def forget(self, image_id: str) -> None:
        """Take a damaged image out of its call: the next claim fetches it again. Its file stays."""
        with self._writing() as connection:
            connection.execute("DELETE FROM pictures WHERE id = ?", (image_id,))

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
            images = connection.execute("SELECT count(*) FROM pictures WHERE position >= 0").fetchone()[0]
        size = sum(one.bytes for one in self._files.listing())
        return JournalStats(calls, images, size, self._evictor.cap_bytes)

    def trim(self) -> Cleared:
        """Remove the oldest images until the rest fits under the cap; `keep` does so by itself."""
        self._prepare()
        return self._evictor.trim()

    def clear(self, *, older_than: float | None = None, calls: Sequence[int] | None = None) -> Cleared:
        """Remove calls with their images: asked before `older_than` (Unix seconds), those in `calls`, or all.

        What is under way stays. A cleared image is asked for, and billed, again.
        """
        self._prepare()
        return self._evictor.clear(older_than=older_than, calls=calls)

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
            self._prepared = True

    @contextlib.contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        self._prepare()
        with self._database.alone():
            with self._database.writing() as connection:
                taken = self._pending.write(connection)
                yield connection
            # On disk now, and told before another transaction begins, which would write them once more. Had this one
            # failed, the next would take them along.
            for one in taken:
                one.done.set()

    @contextlib.contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        self._prepare()
        with self._database.reading() as connection:
            yield connection

    @contextlib.contextmanager
    def _releasing(self, call_id: int) -> Generator[sqlite3.Connection]:
        with self._leases.releasing(call_id), self._writing() as connection:
            yield connection
            self._backup.add(connection, call_id)
        self._database.tidy(idle=self._leases.idle)

    def _step(self, call_id: int, assignments: str, values: Sequence[object]) -> None:
        with self._writing() as connection:
            statement = f"UPDATE calls SET {assignments} WHERE id = ?"
            require_row(connection.execute(statement, (*values, call_id)).rowcount, call_id)

    def _decide(
        self, key: CallKey, details: CallDetails, run: str, holds_image: HoldsImage, waiting_since: float
    ) -> Claim | None:
        """`claims.decide` in a transaction; holds the call that the claim takes."""
        claim: Claim | None = None
        try:
            with self._writing() as connection:
                alive, now = self._leases.is_worked_on, self._clock()
                claimant = claims.Claimant(self._leases.id, run, now, alive, holds_image, waiting_since)
                claim = claims.decide(connection, self._files, key, details, claimant)
                if claim is not None and claim.what == "ask":
                    self._backup.allow_buying(run)
                if claim is not None and claim.owned:
                    # Before the commit: whoever sees the row must see that it is being worked on.
                    self._leases.hold(claim.record.id)
        except BaseException:
            if claim is not None and claim.owned:
                self._leases.drop(claim.record.id)
            raise
        return claim

    def count_free(self, keys: Iterable[CallKey]) -> int:
        """How many of these images a run would get without asking the gateway for them."""
        with self._reading() as connection:
            return sum(claims.is_free(connection, self._files, key, self._leases.is_worked_on) for key in keys)

    def look(self, question: Callable[[sqlite3.Connection], float]) -> float:
        """The answer to a question of `history`'s."""
        with self._reading() as connection:
            return question(connection)

    def _is_taken(self, key: CallKey) -> bool:
        with self._reading() as connection:
            return claims.is_taken(claims.newest(connection, key), self._leases.is_worked_on)
