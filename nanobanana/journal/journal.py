"""The way of a call: asked, sent, answered, kept; each step is on disk before the next begins."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

from ..cancel import CancelToken
from ..errors import Billed, HistoryError
from . import claims
from .archive import Archive
from .database import require_row
from .files import safe_extension
from .records import CallDetails, CallKey, Claim, ImageRecord
from .rows import image_of, plain

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.1
_WAITING: Final = "Waiting for the same image, which is being made already."
_MOST_TEXT: Final = 200_000  # characters of the model's words


class Journal(Archive):
    """The journal in `folder`: claim, sent, url, answered, keep, kept; or failed, or release.

    What a method writes is on disk before it returns. Some 0.5 ms a step on an SSD.
    """

    def __enter__(self) -> Journal:
        return self

    def claim(
        self,
        key: CallKey,
        details: CallDetails,
        *,
        cancel: CancelToken,
        on_wait: Callable[[str], None],
        run: str,
    ) -> Claim:
        """Find out what becomes of a wanted image; waits while a living owner is at work on it.

        `run` names one execution of the graph by a person: within it, what failed and may have been billed is not
        asked again. An empty one is never the same run. `on_wait` gets a sentence once, when the waiting begins.
        A claim that is `owned` must be let go of by `kept`, `failed` or `release` (see `claimed`): other claims of
        the same key wait for that. Claim before waiting for anything that the owner of the same key may need, such
        as a place among the parallel calls. Raises `Cancelled` while waiting, `HistoryError` when the folder fails.
        """
        told = False
        while True:
            cancel.check()
            claim = self._decide(key, details, run)
            if claim is not None:
                return claim
            if not told:
                on_wait(_WAITING)
                told = True
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
    ) -> Generator[Claim]:
        """`claim`, and `release` when the block is left without having let go of the call."""
        claim = self.claim(key, details, cancel=cancel, on_wait=on_wait, run=run)
        try:
            yield claim
        finally:
            if claim.owned and self.holds(claim.record.id):
                try:
                    self.release(claim.record.id)
                except HistoryError as error:
                    # The call is let go of all the same, and what left the block matters more.
                    _log.warning("Call %d could not be released: %s", claim.record.id, error)

    def reopen(self, call_id: int, *, run: str) -> Claim | None:
        """Take up a call by its id, to fetch its images again at no cost; None where there is nothing to fetch.

        For an answered or failed call that has a URL and that nobody is at work on. Owned, like `claim`'s.
        """
        return self._owning(lambda connection: claims.reopen(connection, self._files, call_id, self._claimant(run)))

    def holds(self, call_id: int) -> bool:
        """Whether the call was claimed here and not let go of yet."""
        return self._ownership.holds(call_id)

    def sent(self, call_id: int) -> None:
        """The request is about to leave: from here on it may be billed. To be called before its first byte goes."""
        self._step(call_id, "state = 'sent', billed = 'maybe', sent_at = ?", (self._clock(),))

    def revert_to_asked(self, call_id: int) -> None:
        """The gateway said that what was sent cost nothing, and it is to be sent again: back to `asked`."""
        self._step(call_id, "state = 'asked', billed = 'no', sent_at = NULL", ())

    def url(self, call_id: int, position: int, url: str) -> None:
        """An image's address, the moment it arrives. A later one for the same `position` takes its place."""
        with self._writing() as connection:
            changed = connection.execute(
                "INSERT INTO urls (call_id, position, url) SELECT id, ?, ? FROM calls WHERE id = ?"
                " ON CONFLICT (call_id, position) DO UPDATE SET url = excluded.url",
                (position, plain(url), call_id),
            ).rowcount
            require_row(changed, call_id)

    def answered(
        self,
        call_id: int,
        *,
        request_id: str = "",
        text: str = "",
        usage: Mapping[str, object],
        urls: Mapping[int, str] | None = None,
    ) -> None:
        """The answer is complete: billed. `text`: the model's words. `usage`: the gateway's own account of it.

        `urls`: the addresses by position, in place of those that `url` noted while the answer came; None leaves them.
        """
        values = (
            self._clock(),
            plain(request_id),
            plain(text)[:_MOST_TEXT],
            plain(json.dumps(dict(usage), default=str, ensure_ascii=True)),
        )
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE calls SET state = 'answered', billed = 'yes', answered_at = ?, request_id = ?, text = ?,"
                " usage = ? WHERE id = ?",
                (*values, call_id),
            ).rowcount
            require_row(changed, call_id)
            if urls is not None:
                connection.execute("DELETE FROM urls WHERE call_id = ?", (call_id,))
                connection.executemany(
                    "INSERT INTO urls (call_id, position, url) VALUES (?, ?, ?)",
                    [(call_id, position, plain(url)) for position, url in urls.items()],
                )

    def keep(
        self,
        call_id: int,
        position: int,
        data: bytes,
        *,
        extension: str,
        url: str = "",
        width: int | None = None,
        height: int | None = None,
    ) -> ImageRecord:
        """Put an image's original bytes on disk, synced, then its row; at any time after `sent`.

        `position`: its place in the answer. `extension`: by the bytes' own signature; one we don't know becomes
        `bin`. Raises `HistoryError` when the disk is full: the call's URLs are in the journal still.
        """
        self._prepare()
        extension = safe_extension(extension)
        while True:
            sha256, path = self._files.save(data, extension)
            with self._writing() as connection:
                # A clearing may have removed the file since; it does so inside a transaction, as we look inside one.
                if not path.exists():
                    continue
                changed = connection.execute(
                    "INSERT INTO pictures (id, call_id, position, url, sha256, extension, width, height, bytes,"
                    " kept_at) SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ? FROM calls WHERE id = ?"
                    " ON CONFLICT (call_id, position) DO UPDATE SET url = excluded.url, sha256 = excluded.sha256,"
                    " extension = excluded.extension, width = excluded.width, height = excluded.height,"
                    " bytes = excluded.bytes, kept_at = excluded.kept_at",
                    (
                        secrets.token_urlsafe(12),
                        position,
                        plain(url),
                        sha256,
                        extension,
                        width,
                        height,
                        len(data),
                        self._clock(),
                        call_id,
                    ),
                ).rowcount
                require_row(changed, call_id)
                record = image_of(
                    connection.execute(
                        "SELECT * FROM pictures WHERE call_id = ? AND position = ?", (call_id, position)
                    ).fetchone(),
                    self._files,
                )
            self._trimmer.added(len(data))
            return record

    def kept(self, call_id: int, *, seconds: float | None = None) -> None:
        """All of the answer's images are on disk; lets go. Raises `HistoryError` when there is none."""
        with self._releasing(call_id) as connection:
            changed = connection.execute(
                "UPDATE calls SET state = 'kept', owner = NULL, billed = 'yes', error = '', finished_at = ?,"
                " seconds = ? WHERE id = ? AND EXISTS (SELECT 1 FROM pictures WHERE call_id = calls.id)",
                (self._clock(), seconds, call_id),
            ).rowcount
            require_row(changed, call_id)

    def failed(self, call_id: int, *, error: str, billed: Billed, request_id: str = "") -> None:
        """The call failed; lets go. The next run asks anew, so a call whose URLs still work is to be released instead.

        `error`: the words for the person. `billed`: `maybe` and `yes` keep this run from asking again.
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
        """Let go of a call in whatever state it is, as after a cancel or a failed download.

        One that was not sent is forgotten; one of which a URL or an image came stays answered, and the next claim
        fetches the rest; one that was sent in vain has failed and may have been billed.
        """
        with self._releasing(call_id) as connection:
            claims.release(connection, call_id, self._clock())

    @contextlib.contextmanager
    def _releasing(self, call_id: int) -> Generator[sqlite3.Connection]:
        with self._ownership.releasing(call_id), self._writing() as connection:
            yield connection
        self._database.tidy(idle=self._ownership.idle)

    def _step(self, call_id: int, assignments: str, values: Sequence[object]) -> None:
        with self._writing() as connection:
            statement = f"UPDATE calls SET {assignments} WHERE id = ?"
            require_row(connection.execute(statement, (*values, call_id)).rowcount, call_id)

    def _decide(self, key: CallKey, details: CallDetails, run: str) -> Claim | None:
        return self._owning(
            lambda connection: claims.decide(connection, self._files, key, details, self._claimant(run))
        )

    def _claimant(self, run: str) -> claims.Claimant:
        return claims.Claimant(self._ownership.id, run, self._clock(), self._ownership.is_worked_on)

    def _owning(self, take: Callable[[sqlite3.Connection], Claim | None]) -> Claim | None:
        """Run `take` in a transaction, and hold the call that it claims."""
        claim: Claim | None = None
        try:
            with self._writing() as connection:
                claim = take(connection)
                if claim is not None and claim.owned:
                    # Before the commit: whoever sees the row must see that it is being worked on.
                    self._ownership.hold(claim.record.id)
        except BaseException:
            if claim is not None and claim.owned:
                self._ownership.drop(claim.record.id)
            raise
        return claim

    def _is_taken(self, key: CallKey) -> bool:
        with self._reading() as connection:
            return claims.is_taken(claims.newest(connection, key), self._ownership.is_worked_on)
