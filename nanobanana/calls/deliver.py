"""From an answer to images: download, save on disk, then decode. A paid image is delivered whatever else fails."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..cancel import CancelToken, Deadline
from ..catalog import size_warning
from ..errors import BadAnswer, Billed, DownloadFailed, HistoryError, ImageError, NanoBananaError, StreamBroken
from ..gateway.answer.no_image import without_image
from ..gateway.answer.types import Answer, ImageData, ImageUrl
from ..gateway.download import Downloader
from ..gateway.retry import DOWNLOAD_TRIES
from ..imaging.codec import DecodedImage, decode
from ..imaging.headers import extension, header_size, sniff
from ..journal import TASK, CallRecord, ImageRecord, Journal
from ..progress import ReportProgress
from .models import DeliveredImage, Order, Outcome, Source
from .send import note_answer

_log = logging.getLogger(__name__)

_NOT_KEPT = "An image could not be saved on disk ({error}): save it yourself now, the history can't give it again."
_CUT_OFF = (
    "The answer broke off inside the image's address, and nothing could be downloaded from the part that came"
    " ({url}): {reason}."
)
_CUT_OFF_TOO = "The answer broke off inside the address of one more image: {url}"
_TOO_MANY = "The answer holds more images than fit into memory at once; the others are on disk, see the history."
_TRUNCATED = "The gateway's answer was cut off after the image had come."
_NOT_TRIED = "The download from {url} was not tried: the others failed before it."
# An answer may name many addresses that all lead nowhere.
_MOST_FAILURES = 3
_ANOTHER = "Change the seed to ask for another one."
_EXTRA_SECONDS = 3.0
# One call makes one image. It may bring more, up to this: as uint8 and float32 they take 6 GB.
_MOST_PIXELS = 400_000_000


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
        self._pixels = 0
        self._deadline: Deadline | None = None
        self._failures = 0

    def from_disk(self, record: CallRecord) -> Outcome:
        """What an earlier run saved: no request, no cost."""
        for kept in record.images:
            self._keep(kept.position, self._journal.read(kept), kept.url, kept)
        return self._outcome("journal", "no", record.text, record.request_id)

    def remaining(self, record: CallRecord, downloader: Downloader) -> Outcome:
        """What an earlier run paid for: saved images from disk, the others downloaded again."""
        for kept in record.images:
            self._keep(kept.position, self._journal.read(kept), kept.url, kept)
        here = {kept.url for kept in record.images}
        taken = {kept.position for kept in record.images}
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
            self._journal.answered(
                self._call_id, request_id=answer.request_id, text=answer.text, urls=urls, images=len(answer.images)
            )
        except HistoryError as error:
            _log.warning("An answer could not be written to the journal", exc_info=True)
            self._warnings.append(error.message)

    def _mark_complete(self) -> None:
        """If all images are on disk, the call is done. Else it stays answered, and the next run fetches the rest."""
        if self._unkept or any(isinstance(problem, DownloadFailed) for problem in self._problems):
            return
        try:
            self._journal.kept(self._call_id, seconds=self._seconds())
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
            kept = self._save(position, data, shown)
            error = self._decode(position, data, kept, shown)
            if error is None:
                return
            if not error.damaged:
                self._problems.append(_unreadable(error, kept))
                return
            if extra or attempt == tries or (self._deadline and self._deadline.passed):
                self._forget(kept)
                place = f" What came is saved in {kept.path}." if kept else ""
                raise DownloadFailed(
                    f"The image was made, but came damaged each time: {error.message}{place} It is at {shown[:500]}",
                    "Run again: it is downloaded again, at no cost.",
                    url=shown,
                    reason=error.message,
                )
            downloader.pause(attempt, error.message, self._cancel, self._report)

    def _keep(self, position: int, data: bytes, url: str, kept: ImageRecord | None = None) -> None:
        kept = kept or self._save(position, data, url)
        error = self._decode(position, data, kept, url)
        if error is not None:
            self._problems.append(_unreadable(error, kept))

    def _save(self, position: int, data: bytes, url: str) -> ImageRecord | None:
        try:
            return self._journal.keep(self._call_id, position, data, extension=extension(data), url=url)
        except HistoryError as error:
            _log.warning("An image could not be saved on disk", exc_info=True)
            self._warnings.append(_NOT_KEPT.format(error=error.message))
            self._unkept += 1
            return None

    def _forget(self, kept: ImageRecord | None) -> None:
        if kept is not None:
            with contextlib.suppress(HistoryError):
                self._journal.forget(kept.id)

    def _decode(self, position: int, data: bytes, kept: ImageRecord | None, url: str) -> ImageError | None:
        width, height = header_size(data, sniff(data) or "") or (0, 0)
        if self._images and self._pixels + width * height > _MOST_PIXELS:
            self._warnings.append(_TOO_MANY)
            return None
        try:
            image = decode(data, want_float=self._order.want_float)
        except ImageError as error:
            return error
        if image.warning:
            self._warnings.append(image.warning)
        self._pixels += image.width * image.height
        unsaved = b"" if kept else data
        self._images[position] = DeliveredImage(image, kept.id if kept else "", url, len(data), unsaved)
        if kept and kept.width is None:
            self._note_size(kept, image)
        return None

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
