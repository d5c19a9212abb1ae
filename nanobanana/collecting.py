"""From an answer to pictures: download, keep on disk, then decode. A paid picture is delivered whatever else fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from .cancel import CancelToken
from .catalog import size_warning
from .errors import BadAnswer, Billed, DownloadFailed, ImageError, JournalError, NanoBananaError
from .gateway.download import Downloader
from .gateway.values import Answer, PictureData, PictureUrl
from .imaging.codec import Picture, decode
from .imaging.sniff import extension
from .journal import CallRecord, Journal, PictureRecord
from .orders import Delivered, Order, Outcome, Source
from .report import Reporter

_log = logging.getLogger(__name__)

_NOT_KEPT = "A picture could not be kept on disk ({error}): save it now, it can't be had again from the history."


class Collecting:
    """The pictures of one journalled call. Use once, in the call's thread. `seconds` tells how long the call took."""

    def __init__(
        self, journal: Journal, call_id: int, cancel: CancelToken, report: Reporter, seconds: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._call_id = call_id
        self._cancel = cancel
        self._report = report
        self._seconds = seconds
        self._pictures: dict[int, Delivered] = {}
        self._problems: list[NanoBananaError] = []
        self._warnings: list[str] = []
        self._unkept = 0

    def from_disk(self, record: CallRecord, order: Order, variation: int) -> Outcome:
        """What an earlier run kept: no request, no cost."""
        for kept in record.pictures:
            self._decode(kept.position, self._journal.read(kept), kept, kept.url)
        return self._outcome(order, variation, "journal", "no", record.text, record.request_id)

    def remaining(self, record: CallRecord, downloader: Downloader, order: Order, variation: int) -> Outcome:
        """What an earlier run paid for: kept pictures from disk, the others downloaded again."""
        here = {kept.position: kept for kept in record.pictures}
        for kept in record.pictures:
            self._decode(kept.position, self._journal.read(kept), kept, kept.url)
        for position, url in enumerate(record.urls):
            if position not in here:
                self._download(position, url, downloader)
        self._settle()
        return self._outcome(order, variation, "journal", "no", record.text, record.request_id)

    def answered(
        self, answer: Answer, downloader: Downloader, order: Order, variation: int, warnings: Iterable[str]
    ) -> Outcome:
        """The pictures of a fresh answer. Inline ones are kept before the answer is noted: they can't be had again."""
        self._warnings.extend(warnings)
        for position, item in enumerate(answer.pictures):
            if isinstance(item, PictureData):
                self._keep(position, item.data, "")
        self._note(answer)
        for position, item in enumerate(answer.pictures):
            if isinstance(item, PictureUrl):
                self._download(position, item.url, downloader)
        self._settle()
        return self._outcome(order, variation, "gateway", "yes", answer.text, answer.request_id)

    def _note(self, answer: Answer) -> None:
        try:
            for position, item in enumerate(answer.pictures):
                if isinstance(item, PictureUrl):
                    self._journal.url(self._call_id, position, item.url)
            self._journal.answered(
                self._call_id, request_id=answer.request_id, text=answer.text, usage=dict(answer.usage)
            )
        except JournalError as error:
            _log.warning("An answer could not be written to the journal", exc_info=True)
            self._warnings.append(error.message)

    def _settle(self) -> None:
        """With all pictures on disk the call is done. Else it stays answered, and the next run fetches the rest."""
        if self._unkept or any(isinstance(problem, DownloadFailed) for problem in self._problems):
            return
        try:
            self._journal.kept(self._call_id, seconds=self._seconds())
        except JournalError:
            _log.warning("A finished call could not be written to the journal", exc_info=True)

    def _download(self, position: int, url: str, downloader: Downloader) -> None:
        try:
            data = downloader.fetch(url, cancel=self._cancel, report=self._report)
        except NanoBananaError as error:
            self._problems.append(error)
            return
        self._keep(position, data, url)

    def _keep(self, position: int, data: bytes, url: str) -> None:
        kept: PictureRecord | None = None
        try:
            kept = self._journal.keep(self._call_id, position, data, extension=extension(data), url=url)
        except JournalError as error:
            _log.warning("A picture could not be kept on disk", exc_info=True)
            self._warnings.append(_NOT_KEPT.format(error=error.message))
            self._unkept += 1
        self._decode(position, data, kept, url)

    def _decode(self, position: int, data: bytes, kept: PictureRecord | None, url: str) -> None:
        try:
            picture = decode(data)
        except ImageError as error:
            place = f" Its bytes are kept in {kept.path}." if kept else ""
            self._problems.append(
                ImageError(
                    f"The picture came, but can't be read: {error.message}{place}",
                    "Change the seed to ask for another one.",
                )
            )
            return
        self._pictures[position] = Delivered(picture, kept.id if kept else "", url, len(data))
        if kept and kept.width is None:
            self._note_size(kept, picture)

    def _note_size(self, kept: PictureRecord, picture: Picture) -> None:
        height, width = picture.rgb.shape[:2]
        try:
            self._journal.set_size(kept.id, width, height)
        except JournalError:
            _log.warning("A picture's size could not be written to the journal", exc_info=True)

    def _outcome(
        self, order: Order, variation: int, source: Source, billed: Billed, text: str, request_id: str
    ) -> Outcome:
        pictures = tuple(self._pictures[position] for position in sorted(self._pictures))
        for delivered in pictures:
            height, width = delivered.picture.rgb.shape[:2]
            if warning := size_warning(order.model, order.aspect_ratio, width, height):
                self._warnings.append(warning)
        error = self._problems[0] if self._problems else None
        if error is None and not pictures:
            error = BadAnswer("The gateway's answer held no picture.", request_id=request_id, billed=billed)
        warnings = tuple(dict.fromkeys(self._warnings))
        return Outcome(variation, pictures, error, source, billed, text, request_id, warnings=warnings)
