"""Asking the gateway for one image: encode, wait for a place, send, and send again only if that is free."""

from __future__ import annotations

import time
from collections import Counter

from ..cancel import Cancelled, CancelToken
from ..errors import AuthFailed, GatewayError, HistoryError, Log, OutOfCredit, RateLimited, TooLarge
from ..gateway.answer.types import Answer
from ..gateway.client import Callbacks, Gateway
from ..gateway.request_body import RequestBody
from ..gateway.retry import Backoff, may_retry
from ..imaging.headers import extension
from ..imaging.payload import FittedImages, PayloadLimits, shrunk
from ..journal import TASK, ImageRecord, Journal
from ..progress import Progress, ReportProgress
from ..settings.profile import Profile
from ..settings.redaction import masked
from .limiter import RateLimiter
from .models import Order

_log = Log(__name__)
# A cap over all kinds of failure but refusals for now: a gateway that alternates must not be asked forever.
_MOST_POSTS = 8
# Another key may be taken where this one wasn't; a 407 is about a proxy's password.
_KEY_STATUSES = frozenset({401, 402, 403, 429})


def note_answer(journal: Journal, call_id: int, error: GatewayError) -> None:
    """Save the answer in which no image was found, and say in the error where."""
    if not error.answer:
        return
    try:
        error.saved = str(journal.keep_answer(call_id, error.answer).path)
    except HistoryError:
        _log.warning("An answer could not be saved", exc_info=True)


class Keys:
    """A profile's keys in turn: when one is refused, which is never billed, the next takes its place. For one call.

    `preferred`, shared by the calls of a process, holds by all keys the one that was taken last: no call begins with
    one that was refused a moment ago.
    """

    def __init__(self, profile: Profile, backoff: Backoff, preferred: dict[tuple[str, ...], str]) -> None:
        self._all = (profile.api_key, *profile.spare_keys)
        self._preferred = preferred
        first = preferred.get(self._all, profile.api_key)
        keys = [first, *(key for key in self._all if key != first)]
        self._ready = [Gateway(profile.with_key(key), backoff) for key in keys]
        self._limited: list[tuple[Gateway, GatewayError]] = []

    @property
    def gateway(self) -> Gateway:
        """The gateway with the key whose turn it is."""
        return self._ready[0]

    def taken(self) -> None:
        """The gateway took this key."""
        self._preferred[self._all] = self.gateway.profile.api_key

    def refused(self, error: GatewayError) -> tuple[GatewayError | None, str]:
        """(the failure to deal with, or None if it is another key's turn now; what to note of the key, if anything).

        When every key was refused, those that were refused for being used too much are still good, later.
        """
        if len(self._all) == 1 or not _is_about_key(error):
            return error, ""
        gateway = self._ready.pop(0)
        number = self._all.index(gateway.profile.api_key) + 1
        error.message = f"Key {number} ({masked(gateway.profile.api_key)}) was refused. {error.message}"
        note = f"{error.message}\n"
        if isinstance(error, RateLimited):
            self._limited.append((gateway, error))
        if self._ready:
            return None, note
        if self._limited:
            self._ready = [limited for limited, _ in self._limited]
            error = self._limited[0][1]
            self._limited = []
        else:
            self._ready = [gateway]
        return error, note


def _is_about_key(error: GatewayError) -> bool:
    if not isinstance(error, AuthFailed | OutOfCredit | RateLimited) or error.billed != "no":
        return False
    return error.status in _KEY_STATUSES


class Submission:
    """One journalled call from `asked` to an answer. Use once.

    `keys`: the one that was taken comes first afterwards. `notes` says how the images were fitted. `saved`: the inline
    images that were saved the moment they came, as (bytes, record), at positions from 0.
    """

    def __init__(self, journal: Journal, call_id: int, order: Order, keys: Keys, backoff: Backoff) -> None:
        self._journal = journal
        self._call_id = call_id
        self._order = order
        self.keys = keys
        self._backoff = backoff
        self._cancel = CancelToken()
        self._sent = False
        self._whole = False
        self._urls = 0
        self.notes: tuple[str, ...] = ()
        self.saved: list[tuple[bytes, ImageRecord]] = []

    def ask(self, limiter: RateLimiter, cancel: CancelToken, report: ReportProgress) -> Answer:
        """The answer. A failure is written to the journal, with whether it was billed, before it is raised.

        After anything but a gateway's failure (a cancel, an image that can't be encoded), whoever claimed the call
        must release it.
        """
        self._cancel = cancel
        try:
            return self._ask(limiter, cancel, report)
        except GatewayError as error:
            self._note_failure(error)
            raise
        except Cancelled:
            if not self._whole:
                # A request that never went out whole costs nothing.
                self._revert_to_asked()
            raise

    def _ask(self, limiter: RateLimiter, cancel: CancelToken, report: ReportProgress) -> Answer:
        limits = PayloadLimits(self._order.profile.picture_limit, self._order.profile.body_limit)
        ticket = limiter.queue()
        attempts = 0
        ended_so: Counter[type[GatewayError]] = Counter()
        shrunk_already = False
        while True:
            body = self._body(limits, cancel, report)
            try:
                with limiter.entered(ticket, cancel, report):
                    attempts += 1
                    answer = self.keys.gateway.ask(body, cancel=cancel, callbacks=self._callbacks(report))
                limiter.succeeded()
                self.keys.taken()
                if answer.task and not answer.images:
                    # Before anything else: from here on a run asks for the task, and never anew.
                    self._on_url(f"{TASK}{answer.task}")
                return answer
            except TooLarge as error:
                error.attempts = attempts
                if shrunk_already or not self._order.inputs:
                    raise
                shrunk_already = True
                limits = shrunk(limits, len(body))
                self._revert_to_asked()
            except GatewayError as refusal:
                error, note = self.keys.refused(refusal)
                if note:
                    self._revert_to_asked(note)
                if error is None:
                    continue
                error.attempts = attempts
                # Each kind of failure has its own number of tries: a 500 after a 429 is the first 500.
                ended_so[type(error)] += 1
                failures = ended_so[type(error)]
                outlives = self._backoff.outlives(limiter.refused_seconds())
                if attempts - ended_so[RateLimited] >= _MOST_POSTS or not may_retry(error, failures, outlives=outlives):
                    raise error from None
                self._revert_to_asked()
                self._pause(error, failures, limiter, cancel, report)

    def _body(self, limits: PayloadLimits, cancel: CancelToken, report: ReportProgress) -> RequestBody:
        order = self._order
        fitted = FittedImages((), ())
        if order.inputs:
            report(Progress("preparing"))
            fitted = order.inputs.fitted(limits, cancel)
        self.notes = fitted.notes
        return RequestBody(order.request, fitted.images, order.profile)

    def _callbacks(self, report: ReportProgress) -> Callbacks:
        return Callbacks(self._on_sending, self._on_whole, self._on_url, self._on_data, report)

    def _on_sending(self) -> None:
        self._cancel.commit()
        self._journal.sent(self._call_id)
        self._sent = True
        self._whole = False

    def _on_whole(self) -> None:
        self._whole = True

    def _on_url(self, url: str) -> None:
        try:
            self._journal.url(self._call_id, self._urls, url)
            self._urls += 1
        except HistoryError:
            # The image is on its way: a full disk is no reason to give it up.
            _log.warning("A result's address could not be written to the journal", exc_info=True)

    def _on_data(self, data: bytes) -> None:
        try:
            record = self._journal.keep(self._call_id, len(self.saved), data, extension=extension(data))
            self.saved.append((data, record))
        except HistoryError:
            # It is tried once more when the answer is whole, and what happens then is told.
            _log.warning("An image could not be saved when it came", exc_info=True)

    def _revert_to_asked(self, note: str = "") -> None:
        """The gateway said that this attempt cost nothing: a crash in the pause must not leave it "maybe billed"."""
        if self._sent:
            self._journal.revert_to_asked(self._call_id, note)
            self._sent = False
        self._cancel.revert()

    def _pause(
        self, error: GatewayError, attempts: int, limiter: RateLimiter, cancel: CancelToken, report: ReportProgress
    ) -> None:
        seconds = self._backoff.before_post(error, attempts)
        if isinstance(error, RateLimited):
            limiter.back_off(seconds)
        report(Progress("pausing", attempts, text=error.message, until=time.monotonic() + seconds))
        cancel.wait(seconds)

    def _note_failure(self, error: GatewayError) -> None:
        if self._urls or self.saved:
            # An image or its address came before the failure: the call isn't given up, the next run delivers it.
            return
        note_answer(self._journal, self._call_id, error)
        try:
            self._journal.failed(self._call_id, error=error.with_file, billed=error.billed, request_id=error.request_id)
        except HistoryError:
            # The person must read the gateway's error, not the disk's.
            _log.warning("A failed call could not be written to the journal", exc_info=True)
