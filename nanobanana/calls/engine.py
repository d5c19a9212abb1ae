"""From an order to images: claim in the history, encode, send, download, save, decode.

Every call has a daemon thread of its own: a host that quits isn't held up, and what was sent is already on disk.
The order of the steps protects paid images: nothing is sent before the journal has it, nothing is decoded
before its bytes are saved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cancel import Cancelled, CancelToken, Clock
from ..catalog import SIMULATOR
from ..errors import Billed, ConfigError, GatewayError, HistoryError, InputError, Log, NanoBananaError, StatusError
from ..gateway.answer.reader import AnswerReader
from ..gateway.answer.types import Answer
from ..gateway.client import Gateway
from ..gateway.download import Downloader
from ..gateway.http.exchange import authorization
from ..gateway.http.url_policy import DownloadPolicy
from ..gateway.retry import Backoff
from ..imaging.codec import NO_MEMORY, png
from ..imaging.headers import is_cut_short, sniff
from ..journal import TASK, CallDetails, CallKey, CallRecord, Claim, Journal, composite_of
from ..progress import Progress
from ..settings.profile import Profile
from .deliver import Delivery
from .limiter import RateLimiter, RateLimiters
from .models import Order, Outcome, fingerprint
from .send import Keys, Submission, note_answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = Log(__name__)

Sizes = tuple[tuple[int, int], ...]

_OK = 200
_UNEXPECTED = "Something unexpected went wrong in the NanoBanana pack ({error})."


class Call:
    """One running call. `outcome` is there once `done` is true.

    `report`: its latest progress. `since`: when its phase began, in seconds of the monotonic clock. `sizes`: width and
    height of the images as the node gives them out, in pixels. `asked`: its number in the history if this run asks
    for it, else 0. `digests`: those of the input images, once they are known.
    """

    def __init__(
        self, order: Order, variation: int, cancel: CancelToken, on_done: Callable[[Outcome], None], clock: Clock
    ) -> None:
        self.order = order
        self.variation = variation
        self.cancel = cancel
        self.report = Progress("preparing")
        self.since = clock()
        self.outcome: Outcome | None = None
        self.sizes: tuple[tuple[int, int], ...] = ()
        self.asked = 0
        self.digests: tuple[str, ...] | None = None
        self._on_done = on_done
        self._clock = clock

    @property
    def done(self) -> bool:
        return self.outcome is not None

    def say(self, report: Progress) -> None:
        if report.phase != self.report.phase:
            self.since = self._clock()
        self.report = report

    def finish(self, outcome: Outcome, sizes: Sizes | None = None) -> None:
        self.sizes = sizes or tuple((one.image.rgb.shape[1], one.image.rgb.shape[0]) for one in outcome.images)
        self.outcome = outcome
        self.say(Progress("failed" if outcome.error and not outcome.images else "done"))
        self._on_done(outcome)


class Engine:
    """Runs calls. One for a process: it holds the journal and the limits that all nodes share."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock = time.monotonic,
        backoff: Backoff | None = None,
        resolve_base_url: Callable[[str], str] | None = None,
    ) -> None:
        self.journal = journal
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._limiters = RateLimiters(lambda limit: RateLimiter(limit, clock))
        self._resolve_base_url = resolve_base_url or reachable
        self._preferred_keys: dict[tuple[str, ...], str] = {}

    def start(
        self,
        order: Order,
        variation: int,
        cancel: CancelToken,
        *,
        convert: Callable[[Outcome], Sizes | None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Call:
        """Begin one call in a thread of its own and return at once.

        `convert` gets the outcome in that thread, while other calls still run, and may return the images' sizes; a
        `NanoBananaError` that it raises becomes the outcome's error. `on_done` gets it there last, when `Call.outcome`
        is set.
        """
        call = Call(order, variation, cancel, on_done, self._clock)
        name = f"nanobanana-call-{variation}"
        try:
            threading.Thread(target=self._run, args=(call, convert), name=name, daemon=True).start()
        except RuntimeError as error:
            call.finish(self._unforeseen(call, error))
        return call

    def _run(self, call: Call, convert: Callable[[Outcome], Sizes | None]) -> None:
        began, sizes = self._clock(), None
        try:
            outcome = self._produce(call)
            sizes = convert(outcome)
        except Cancelled:
            outcome = Outcome(call.variation, billed=self._billed(call))
        except NanoBananaError as error:
            outcome = self._failed(call, error)
        except Exception as error:  # noqa: BLE001
            # The thread's last line of defence: without it the node would wait forever for an outcome.
            outcome = self._unforeseen(call, error)
        if call.order.profile.is_simulated:
            outcome = _unbilled(outcome)
        call.finish(replace(outcome, seconds=self._clock() - began), sizes)

    def _failed(self, call: Call, error: NanoBananaError) -> Outcome:
        if isinstance(error, GatewayError):
            return Outcome(call.variation, error=error, billed=error.billed, request_id=error.request_id)
        return Outcome(call.variation, error=error, billed=self._billed(call))

    def _unforeseen(self, call: Call, error: Exception) -> Outcome:
        billed = self._billed(call)
        message, hint = _words(error)
        told = NanoBananaError(message, hint) if billed == "no" else GatewayError(message, hint, billed=billed)
        outcome = self._failed(call, told)
        _log.error("A call failed in a way nobody foresaw", exc_info=error)
        return outcome

    def _billed(self, call: Call) -> Billed:
        """Whether a call that ended early was billed: what is unsent has left the history, or was never in it."""
        try:
            record = self.journal.call(call.asked) if call.asked else None
        except HistoryError:
            return "maybe"
        return record.billed if record else "no"

    def _produce(self, call: Call) -> Outcome:
        order = call.order
        digests = order.inputs.digests(call.cancel) if order.inputs else ()
        call.digests = digests
        name = fingerprint(order.request, order.profile, digests)
        began = self._clock()
        with self.journal.claimed(
            CallKey(name, call.variation),
            _details(order),
            cancel=call.cancel,
            on_wait=lambda reason: call.say(Progress("pausing", text=reason)),
            run=order.run,
            holds_image=holds_image,
        ) as claim:
            if claim.what == "failed":
                record = claim.record
                raise GatewayError(record.error, request_id=record.request_id, billed=record.billed)
            call.asked = claim.record.id if claim.what == "ask" else 0
            delivery = self._delivery(claim, order, call, began)
            if claim.what == "kept":
                return delivery.from_disk(claim.record)
            return self._fetch(call, claim, delivery)

    def _delivery(self, claim: Claim, order: Order, call: Call, began: float) -> Delivery:
        return Delivery(
            self.journal, claim.record.id, order, call.variation, call.cancel, call.say, lambda: self._clock() - began
        )

    def keep_composite(self, image_id: str, rgb: NDArray[np.uint8]) -> str:
        """Save what a node made of an image in the history, [H,W,3] uint8; returns its id, empty if that failed."""
        try:
            image = self.journal.image(image_id)
            call = self.journal.call(image.call_id)
            there = call.composites.get(image.position) if call else None
            if there is None or not there.path.exists():
                there = self.journal.keep(image.call_id, composite_of(image.position), png(rgb), extension="png")
                self.journal.set_size(there.id, rgb.shape[1], rgb.shape[0])
        except HistoryError:
            _log.warning("A composite could not be saved", exc_info=True)
            return ""
        return there.id

    def redownload(self, call_id: int, profile: Profile, cancel: CancelToken) -> Outcome:
        """Download the missing images of a call, at no cost. `profile`: the one that the call was made with.

        Raises `InputError` if there is nothing to download, `HistoryError`, `Cancelled`; a failed download becomes the
        outcome's error.
        """
        record = self.journal.call(call_id)
        if record is None:
            raise InputError("This call was cleared from the history a moment ago.")
        if not can_be_downloaded(record):
            raise InputError(
                "There is nothing to download for this call.", "Run the node again to ask for a new image."
            )
        order = Order(profile, record.details.request, "")
        call = Call(order, record.key.variation, cancel, lambda _: None, self._clock)
        with self.journal.claimed(record.key, record.details, cancel=cancel, on_wait=lambda _: None, run="") as claim:
            # Only a download was wanted: if the claim says to ask, leaving the block releases it unsent.
            if claim.what != "answered":
                raise InputError("There is nothing to download for this call any longer.", "Look at the history again.")
            delivery = self._delivery(claim, order, call, self._clock())
            return self._answered_before(call, claim.record, delivery, self.connected(profile))

    def _fetch(self, call: Call, claim: Claim, delivery: Delivery) -> Outcome:
        order = call.order
        profile = self.connected(order.profile)
        if claim.what == "answered":
            return self._answered_before(call, claim.record, delivery, profile)
        keys = Keys(profile, self._backoff, self._preferred_keys)
        submission = Submission(self.journal, claim.record.id, order, keys, self._backoff)
        limiter = self._limiters.of(profile.base_url, profile.concurrency)
        try:
            answer = submission.ask(limiter, call.cancel, call.say)
        except GatewayError as error:
            error.message = " ".join([error.message, *_about_earlier(claim.earlier)])
            raise
        if answer.task and not answer.images:
            answer = self._of_task(answer.task, claim.record.id, keys.gateway, call)
        notes = (*_about_earlier(claim.earlier), *submission.notes)
        return delivery.answered(answer, self.downloader(profile), notes, saved=submission.saved)

    def _answered_before(self, call: Call, record: CallRecord, delivery: Delivery, profile: Profile) -> Outcome:
        """The images of a call that an earlier run sent: never sent again."""
        downloader = self.downloader(profile)
        task = next((url.removeprefix(TASK) for url in record.urls if url.startswith(TASK)), "")
        if task and not record.images:
            keys = Keys(profile, self._backoff, self._preferred_keys)
            answer = self._of_task(task, record.id, keys.gateway, call)
            return delivery.answered(answer, downloader, ())
        if record.answer and not record.urls and not record.images:
            answer = read_saved(record, self.journal.read(record.answer))
            if answer is not None:
                return delivery.answered(answer, downloader, (), "journal")
        return delivery.remaining(record, downloader)

    def _of_task(self, task: str, call_id: int, gateway: Gateway, call: Call) -> Answer:
        try:
            return gateway.task(task, cancel=call.cancel, report=call.say)
        except StatusError as error:
            if error.status != _OK:
                raise  # only the question was refused: the next run asks about the same task
            # The task has failed, so the next run asks anew.
            note_answer(self.journal, call_id, error)
            self.journal.failed(call_id, error=error.with_file, billed=error.billed, request_id=error.request_id)
            raise

    def connected(self, profile: Profile) -> Profile:
        """`profile` with its base URL as an address. Raises `ConfigError` if none is set."""
        if not profile.base_url:
            raise ConfigError("No base URL is set.", "Set it in Settings > NanoBanana, or as NANOBANANA_BASE_URL.")
        return replace(profile, base_url=self._resolve_base_url(profile.base_url))

    def downloader(self, profile: Profile) -> Downloader:
        """The downloader for results of this profile's gateway."""
        return Downloader(
            DownloadPolicy.for_gateway(profile.base_url, profile.private_hosts),
            is_image=lambda data: sniff(data) is not None,
            is_whole=lambda data: not is_cut_short(data, sniff(data) or ""),
            connect_timeout=profile.connect_timeout,
            seconds=profile.total_timeout,
            backoff=self._backoff,
            redact_url=profile.redact_url,
            at_home=authorization(profile.api_key, profile.own_headers) if profile.download_with_key else None,
        )


def read_saved(record: CallRecord, data: bytes) -> Answer | None:
    """The saved answer of a call, if there are images in it."""
    request = record.details.request
    reader = AnswerReader(request_id=record.request_id, base_url=record.details.base_url, prompt=request.prompt)
    try:
        reader.feed(data)
        answer = reader.finish()
    except GatewayError:
        return None
    return answer if answer.images and not answer.guessed else None


def holds_image(record: CallRecord, data: bytes) -> bool:
    """Whether an image is found in the saved answer of a call."""
    return read_saved(record, data) is not None


def reachable(base_url: str) -> str:
    """`base_url` as an address: `simulator` starts the built-in one, in this process."""
    if base_url != SIMULATOR:
        return base_url
    from ..simulator import in_process

    return in_process()


def can_be_downloaded(record: CallRecord) -> bool:
    """Whether the gateway named images of this call that aren't on disk."""
    return record.state in ("sent", "answered") and len(record.urls) > len(record.images)


def _details(order: Order) -> CallDetails:
    return CallDetails(
        order.request,
        dialect=order.profile.dialect,
        profile=order.profile.name,
        base_url=order.profile.base_url,
        inputs=len(order.inputs) if order.inputs else 0,
        cost=order.profile.prices.get(order.request.model),
        queued_at=order.queued_at,
    )


def _unbilled(outcome: Outcome) -> Outcome:
    """What the simulator did, which never asks for money."""
    if isinstance(outcome.error, GatewayError):
        outcome.error.billed, outcome.error.sure = "no", True
    return replace(outcome, billed="no")


def _words(error: Exception) -> tuple[str, str]:
    """(message, hint) of an error that is none of the pack's own."""
    said = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in said or "not enough memory" in said:
        return NO_MEMORY
    if isinstance(error, RuntimeError) and "thread" in said:
        return (
            "This computer can't start any more threads: too many programs, or too many calls, run at once.",
            "Close some of them, or ask for fewer images at once, then run again.",
        )
    return _UNEXPECTED.format(error=type(error).__name__), ""


def _about_earlier(earlier: CallRecord | None) -> tuple[str, ...]:
    if earlier is None or earlier.details.base_url == SIMULATOR:
        return ()
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(earlier.sent_at or earlier.asked_at))
    which = f" (request id {earlier.request_id})" if earlier.request_id else ""
    if earlier.state == "kept":
        return (f"The image that was made for this on {when}{which} is no longer on disk: it was trimmed or deleted.",)
    billed = "was billed" if earlier.billed == "yes" else "may have been billed"
    return (f"An earlier call for this image, on {when}{which}, brought no image and {billed}.",)
