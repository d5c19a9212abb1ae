"""From an answer to images: download, save on disk, then decode. A paid image is delivered whatever else fails."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ..cancel import CancelToken, Deadline
from ..catalog import expected_size, size_warning
from ..errors import (
    BadAnswer,
    Billed,
    DownloadFailed,
    HistoryError,
    HistoryLocked,
    ImageError,
    Log,
    NanoBananaError,
    StreamBroken,
)
from ..gateway.answer.no_image import without_image
from ..gateway.answer.types import Answer, ImageData, ImageUrl
from ..gateway.download import Downloader
from ..gateway.retry import DOWNLOAD_TRIES
from ..imaging.codec import DecodedImage, decode
from ..imaging.headers import extension, header_size, sniff
from ..imaging.parallel import Background, core_count, unasked
from ..journal import TASK, CallRecord, ImageRecord, Journal
from ..progress import Progress, ReportProgress
from .models import DeliveredImage, Order, Outcome, Source
from .send import note_answer

_log = Log(__name__)

T = TypeVar("T")

_NOT_KEPT = "An image could not be saved on disk ({error}): save it yourself now, the history can't give it again."
_CUT_OFF = (
    "The answer broke off inside the image's address, and nothing could be downloaded from the part that came"
    " ({url}): {reason}."
)
_CUT_OFF_TOO = "The answer broke off inside the address of one more image: {url}"
_TOO_MANY = "The answer holds more images than fit into memory at once; the others are on disk, see the history."
_TOO_LARGE = "It has {width} x {height} pixels, many more than were asked for, and others as large are in memory."
_WHEN_GONE = "Run again when the other images are no longer needed: it costs nothing."
_TRUNCATED = "The gateway's answer was cut off after the image had come."
_DAMAGED = "A part of the gateway's answer could not be read while the image came: the image may be damaged."
_NOT_TRIED = "The download from {url} was not tried: the others failed before it."
# An answer may name many addresses that all lead nowhere.
_MOST_FAILURES = 3
_ANOTHER = "Change the seed to ask for another one."
_EXTRA_SECONDS = 3.0
# For how long a locked history is waited for, beyond SQLite's own 15 seconds.
_LOCKED_SECONDS = 120.0
_POLL_SECONDS = 0.2
# An image may be twice as large as its model's are. Of a model that isn't documented, as large as the largest is.
_MOST_TIMES_LARGER = 2
_LARGEST_PIXELS = 18_000_000
# More at once would not be faster, and would keep the threads that read other answers from their turn.
_decoding = threading.BoundedSemaphore(core_count())


class Delivery:
    """The images of one journalled call. Use once, in the call's thread. `seconds`: how long the call has taken."""

    def __init__(
        self,
        journal: Journal,
        call_id: int,
        order: Order,
        variation: int,
        cancel: CancelToken,
        report: ReportProgress,
        seconds: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._call_id = call_id
        self._order = order
        self._variation = variation
        self._cancel = cancel
        self._report = report
        self._seconds = seconds
        self._images: dict[int, DeliveredImage] = {}
        self._problems: list[NanoBananaError] = []
        self._warnings: list[str] = []
        self._unkept = 0
        self._noted = False
        self._cut_off: list[DownloadFailed] = []
        self._deadline: Deadline | None = None
        self._locked: Deadline | None = None
        self._failures = 0

    def from_disk(self, record: CallRecord) -> Outcome:
        """What an earlier run saved: no request, no cost."""
        for kept in record.images:
            self._keep(kept.position, self._journal.read(kept), kept.url, kept)
        return self._outcome("journal", "no", record.text, record.request_id)

    def remaining(self, record: CallRecord, downloader: Downloader) -> Outcome:
        """What an earlier run paid for: saved images from disk, the others, and damaged ones, downloaded again."""
        read = self._journal.read
        images = [one for one in record.images if self._keep(one.position, read(one), one.url, one, again=True)]
        here = {kept.url for kept in images}
        taken = {kept.position for kept in images}
        free = (position for position in itertools.count() if position not in taken)
        for url in record.urls:
            if url not in here and not url.startswith(TASK):
                try:
                    self._deliver_url(next(free), url, downloader)
                except DownloadFailed as error:
                    self._problems.append(_expired(error))
        self._mark_complete()
        return self._outcome("journal", "no", record.text, record.request_id)

    def answered(
        self,
        answer: Answer,
        downloader: Downloader,
        warnings: Iterable[str],
        source: Source = "gateway",
        saved: Sequence[tuple[bytes, ImageRecord]] = (),
    ) -> Outcome:
        """The images of a fresh answer. Inline ones are saved before the answer is noted: they can't be fetched again.

        `saved`: those that were saved already, as they came. A URL at which the answer broke off may be incomplete, so
        it counts only once its download has worked. If nothing came, raises a `GatewayError` that the journal already
        holds.
        """
        self._warnings.extend(warnings)
        if answer.truncated:
            self._warnings.append(_TRUNCATED)
        if answer.damaged:
            self._warnings.append(_DAMAGED)
        items = list(enumerate(answer.images))
        for position, item in items:
            if isinstance(item, ImageData):
                here = (record for data, record in saved if data is item.data and record.position == position)
                self._keep(position, item.data, "", next(here, None))
        redact = downloader.redact_url
        urls = {position: redact(item.url) for position, item in items if isinstance(item, ImageUrl) and item.certain}
        if urls or self._images or self._problems or self._unkept:
            self._note(answer, urls)
        unlikely: dict[int, DownloadFailed] = {}
        # What only looks like an image comes last.
        for position, item in sorted(items, key=lambda one: isinstance(one[1], ImageUrl) and one[1].likely):
            if isinstance(item, ImageUrl) and item.certain:
                extra = item.likely and bool(self._images)
                try:
                    self._deliver_url(position, item.url, downloader, extra=extra)
                except DownloadFailed as error:
                    error.request_id = answer.request_id
                    if item.likely:
                        unlikely[position] = error
                    else:
                        self._problems.append(error)
            elif isinstance(item, ImageUrl):
                self._try_partial_url(position, item.url, downloader, answer, urls)
        if unlikely and self._images:
            # The image is here, so these are let go: no later run tries them again.
            self._note(answer, {position: url for position, url in urls.items() if position not in unlikely})
        else:
            self._problems.extend(unlikely.values())
        self._fail_if_only_partial_urls(answer)
        self._mark_complete()
        return self._outcome(source, "yes" if source == "gateway" else "no", answer.text, answer.request_id)

    def _try_partial_url(
        self, position: int, url: str, downloader: Downloader, answer: Answer, urls: dict[int, str]
    ) -> None:
        # A link that nothing marks as an image gets one try: if it fails, it was most likely a page.
        tries = 1 if answer.guessed else DOWNLOAD_TRIES
        try:
            data = self._fetched(url, downloader, tries)
        except DownloadFailed as failure:
            self._cut_off.append(failure)
            return
        urls[position] = downloader.redact_url(url)
        self._note(answer, urls)
        try:
            self._deliver_url(position, url, downloader, tries, first=data)
        except DownloadFailed as failure:
            failure.request_id = answer.request_id
            self._problems.append(failure)

    def _fail_if_only_partial_urls(self, answer: Answer) -> None:
        """If only partial addresses came and none worked, fail the call, or every later run would only retry them."""
        if self._noted:
            if not answer.guessed:
                self._warnings.extend(_CUT_OFF_TOO.format(url=failure.url[:500]) for failure in self._cut_off)
            return
        error = without_image(answer) if answer.guessed else _cut_off_error(self._cut_off[0], answer.request_id)
        error.answer = answer.received
        note_answer(self._journal, self._call_id, error)
        try:
            self._journal.failed(self._call_id, error=error.with_file, billed=error.billed, request_id=error.request_id)
        except HistoryError:
            _log.warning("A failed call could not be written to the journal", exc_info=True)
        raise error

    def _note(self, answer: Answer, urls: Mapping[int, str]) -> None:
        self._noted = True
        try:
            self._insist(
                lambda: self._journal.answered(
                    self._call_id, request_id=answer.request_id, text=answer.text, urls=urls, images=len(answer.images)
                )
            )
        except HistoryError as error:
            _log.warning("An answer could not be written to the journal", exc_info=True)
            self._warnings.append(error.message)

    def _mark_complete(self) -> None:
        """If all images are on disk, the call is done. Else it stays answered, and the next run fetches the rest."""
        if self._unkept or any(isinstance(problem, DownloadFailed) for problem in self._problems):
            return
        try:
            self._insist(lambda: self._journal.kept(self._call_id, seconds=self._seconds()))
        except HistoryError:
            _log.warning("A finished call could not be written to the journal", exc_info=True)

    def _fetched(self, url: str, downloader: Downloader, tries: int = DOWNLOAD_TRIES, *, extra: bool = False) -> bytes:
        """The bytes. All addresses share one time limit, and after the first failure each gets a single try.

        An `extra` one, beside an image that is there, gets one try of 3 seconds.
        """
        if extra:
            soon = Deadline(_EXTRA_SECONDS)
            return downloader.fetch(url, cancel=self._cancel, report=self._report, tries=1, deadline=soon)
        self._deadline = self._deadline or Deadline(downloader.seconds)
        if self._failures >= _MOST_FAILURES and not self._images:
            shown = downloader.redact_url(url)
            raise DownloadFailed(_NOT_TRIED.format(url=shown[:500]), url=shown, reason="the others failed before it")
        tries = 1 if self._failures else tries
        try:
            return downloader.fetch(url, cancel=self._cancel, report=self._report, tries=tries, deadline=self._deadline)
        except DownloadFailed:
            self._failures += 1
            raise

    def _deliver_url(
        self,
        position: int,
        url: str,
        downloader: Downloader,
        tries: int = DOWNLOAD_TRIES,
        *,
        extra: bool = False,
        first: bytes = b"",
    ) -> None:
        """Download, save and decode; an image that came damaged is downloaded again, as a failed download is.

        `first`: what the first download has brought, if it was made. Raises `DownloadFailed` if none came whole:
        the call stays answered, and the next run tries once more.
        """
        shown = downloader.redact_url(url)
        for attempt in range(1, tries + 1):
            data = (first if attempt == 1 else b"") or self._fetched(url, downloader, tries, extra=extra)
            # Its address is in the history, so nothing is lost if the decode takes the process down.
            saving = Background(lambda data=data: self._save(position, data, shown))
            error = self._decode(position, data, saving.result, shown)
            kept = saving.result()
            if error is None:
                return
            if not error.damaged:
                self._problems.append(_unreadable(error, kept))
                return
            # At once: after a crash it would pass for the image.
            self._forget(kept)
            if extra or attempt == tries or (self._deadline and self._deadline.passed):
                place = f" What came is saved in {kept.path}." if kept else ""
                raise DownloadFailed(
                    f"The image was made, but came damaged each time: {error.message}{place} It is at {shown[:500]}",
                    "Run again: it is downloaded again, at no cost.",
                    url=shown,
                    reason=error.message,
                )
            downloader.pause(attempt, error.message, self._cancel, self._report)

    def _keep(
        self, position: int, data: bytes, url: str, kept: ImageRecord | None = None, *, again: bool = False
    ) -> bool:
        """Save and decode. False for a damaged one that was forgotten, to be fetched `again` from its address."""
        kept = kept or self._save(position, data, url)
        error = self._decode(position, data, lambda: kept, url)
        if error is not None and error.damaged and again and url:
            self._forget(kept)
            return False
        if error is not None:
            self._problems.append(_unreadable(error, kept))
        return True

    def _save(self, position: int, data: bytes, url: str) -> ImageRecord | None:
        kind = extension(data)
        try:
            return self._insist(lambda: self._journal.keep(self._call_id, position, data, extension=kind, url=url))
        except HistoryError as error:
            _log.warning("An image could not be saved on disk", exc_info=True)
            self._warnings.append(_NOT_KEPT.format(error=error.message))
            self._unkept += 1
            return None

    def _insist(self, write: Callable[[], T]) -> T:
        """Write to the history, also when another program has it locked for a while: this was paid for."""
        while True:
            try:
                return write()
            except HistoryLocked as error:
                self._locked = self._locked or Deadline(_LOCKED_SECONDS)
                if self._locked.passed:
                    raise
                self._report(Progress("pausing", text=error.message))
                self._cancel.wait(_POLL_SECONDS)

    def _forget(self, kept: ImageRecord | None) -> None:
        if kept is not None:
            with contextlib.suppress(HistoryError):
                self._journal.forget(kept.id)

    def _decode(
        self, position: int, data: bytes, saved: Callable[[], ImageRecord | None], url: str
    ) -> ImageError | None:
        width, height = header_size(data, sniff(data) or "") or (0, 0)
        pixels = width * height
        # One call makes one image. What comes beside it, or is larger than it can be, was not asked for.
        counts = bool(self._images) or pixels > self._expected_pixels()
        if counts and not unasked.admits(pixels):
            if not self._images:
                return ImageError(_TOO_LARGE.format(width=width, height=height), _WHEN_GONE)
            self._warnings.append(_TOO_MANY)
            return None
        try:
            with _decoding:
                image = decode(data, want_float=self._order.want_float)
        except BaseException as error:
            if counts:
                unasked.release(pixels)
            if isinstance(error, ImageError):
                return error
            raise
        if counts:
            unasked.release_with(image.rgb if image.as_float is None else image.as_float, pixels)
        if image.warning:
            self._warnings.append(image.warning)
        kept = saved()
        unsaved = b"" if kept else data
        self._images[position] = DeliveredImage(image, kept.id if kept else "", url, len(data), unsaved)
        if kept and kept.width is None:
            self._note_size(kept, image)
        return None

    def _expected_pixels(self) -> int:
        request = self._order.request
        size = expected_size(request.model, request.aspect_ratio)
        return size[0] * size[1] * _MOST_TIMES_LARGER if size else _LARGEST_PIXELS

    def _note_size(self, kept: ImageRecord, image: DecodedImage) -> None:
        try:
            self._journal.set_size(kept.id, image.width, image.height)
        except HistoryError:
            _log.warning("An image's size could not be written to the journal", exc_info=True)

    def _outcome(self, source: Source, billed: Billed, text: str, request_id: str) -> Outcome:
        images = tuple(self._images[position] for position in sorted(self._images))
        for delivered in images:
            width, height = delivered.image.width, delivered.image.height
            if warning := size_warning(self._order.request.model, self._order.request.aspect_ratio, width, height):
                self._warnings.append(warning)
        error = self._problems[0] if self._problems else None
        if error is None and not images:
            error = BadAnswer("The gateway's answer held no image.", request_id=request_id, billed=billed)
        warnings = tuple(dict.fromkeys(self._warnings))
        return Outcome(self._variation, images, error, source, billed, text, request_id, warnings=warnings)


def _unreadable(error: ImageError, kept: ImageRecord | None) -> ImageError:
    place = f" Its bytes are saved in {kept.path}." if kept else ""
    return ImageError(f"The image came, but can't be read: {error.message}{place}", error.hint or _ANOTHER)


def _cut_off_error(failure: DownloadFailed, request_id: str) -> StreamBroken:
    return StreamBroken(
        _CUT_OFF.format(url=failure.url[:500], reason=failure.reason),
        "Running again asks, and may pay, once more.",
        request_id=request_id,
        billed="maybe",
    )


def _expired(error: DownloadFailed) -> DownloadFailed:
    """The same failure on a later run. Addresses expire, so the hint offers another way than trying forever."""
    return DownloadFailed(
        error.message,
        "Run again later to try once more at no cost, or change the seed to ask, and pay, for a new image.",
        url=error.url,
        reason=error.reason,
        billed=error.billed,
    )
