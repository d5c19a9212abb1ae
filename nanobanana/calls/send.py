"""Asking the gateway for one image: encode, wait for a place, send, and send again only if that is free."""

from __future__ import annotations

import logging
import time
from collections import Counter

from ..cancel import Cancelled, CancelToken
from ..errors import GatewayError, HistoryError, RateLimited, TooLarge
from ..gateway.answer.types import Answer
from ..gateway.client import Callbacks, Gateway
from ..gateway.request_body import RequestBody
from ..gateway.retry import Backoff, may_retry
from ..imaging.headers import extension
from ..imaging.payload import FittedImages, PayloadLimits, shrunk
from ..journal import TASK, ImageRecord, Journal
from ..progress import Progress, ReportProgress
from .limiter import RateLimiter
from .models import Order

_log = logging.getLogger(__name__)
# A cap over all kinds of failure but refusals for now: a gateway that alternates must not be asked forever.
_MOST_POSTS = 8


def note_answer(journal: Journal, call_id: int, error: GatewayError) -> None:
    """Save the answer in which no image was found, and say in the error where."""
    if not error.answer:
        return
    try:
        error.saved = str(journal.keep_answer(call_id, error.answer).path)
    except HistoryError:
        _log.warning("An answer could not be saved", exc_info=True)


class Submission:
    """One journalled call from `asked` to an answer. Use once.

    `notes` says afterwards how the images were fitted. `saved`: the inline images that were saved the moment they came,
    as (bytes, record), at positions from 0.
    """

    def __init__(self, journal: Journal, call_id: int, order: Order, gateway: Gateway, backoff: Backoff) -> None:
        self._journal = journal
        self._call_id = call_id
        self._order = order
        self._gateway = gateway
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
                    answer = self._gateway.ask(body, cancel=cancel, callbacks=self._callbacks(report))
                limiter.succeeded()
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
            except GatewayError as error:
                error.attempts = attempts
                # Each kind of failure has its own number of tries: a 500 after a 429 is the first 500.
                ended_so[type(error)] += 1
                failures = ended_so[type(error)]
                outlives = self._backoff.outlives(limiter.refused_seconds())
                if attempts - ended_so[RateLimited] >= _MOST_POSTS or not may_retry(error, failures, outlives=outlives):
                    raise
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

    def _revert_to_asked(self) -> None:
        """The gateway said that this attempt cost nothing: a crash in the pause must not leave it "maybe billed"."""
        if self._sent:
            self._journal.revert_to_asked(self._call_id)
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
