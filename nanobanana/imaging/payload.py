"""Input images to what one request can carry: lossless while that fits, then JPEG, then scaled down by the least.

limits   an image's file, and the whole body, in which base64 makes 4 characters of 3 bytes
1 plan   each image's sizes, lossless and lossy, estimated from a few rows
2 choose as many lossless images as the body can hold, the cheapest first; the rest lossy
3 encode all of them, and measure; an image that turns out larger than estimated steps down
4 scale  those over their share of the body; small images get what they need, the others share the rest
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from ..cancel import CancelToken
from ..errors import InputError
from ..image_request import EncodedImage
from . import encoding
from .geometry import scaled
from .shared import SharedResults
from .sources import PixelSource, ScaledSource
from .workers import core_count, run_all

T = TypeVar("T")

# The rest of the body: the prompt (thousands of characters of any script, escaped) and the JSON around it.
_RESERVED_BYTES: Final = 64 * 1024
_CACHED_PLANS: Final = 1000
_CACHE_BYTES: Final = 64 * 1024 * 1024
_SCALE_TRIES: Final = 6
_LEAST_SIDE: Final = 32
# Scaling aims a little below an image's share, and is done when it uses this part of it: one more try would gain two
# percent of a side.
_AIM: Final = 0.98
_CLOSE_ENOUGH: Final = 0.95
# What servers are known to be shipped with: 10 MB and 4.5 MB (hosted API gateways), 1 MB (nginx).
_COMMON_CAPS: Final = (9_500_000, 4_200_000, 950_000)


@dataclass(frozen=True)
class PayloadLimits:
    """`image_bytes`: an image's file. `body_bytes`: the request's body, base64 text included."""

    image_bytes: int = 7_000_000
    body_bytes: int = 20_000_000


@dataclass(frozen=True)
class FittedImages:
    """`images` in the order given. `notes`: one sentence an image that isn't sent as it is, for the person."""

    images: tuple[EncodedImage, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Sent:
    """One image as encoded; `size` is (width, height) in pixels, `is_lossless` says that nothing is lost."""

    image: EncodedImage
    size: tuple[int, int]
    is_lossless: bool


_plans: SharedResults[encoding.Plan] = SharedResults(_CACHED_PLANS, lambda _: 1)
_encoded: SharedResults[_Sent | None] = SharedResults(_CACHE_BYTES, lambda sent: len(sent.image.data) if sent else 64)


def fit(
    sources: Sequence[PixelSource],
    limits: PayloadLimits,
    *,
    cancel: CancelToken,
    workers: int | None = None,
    digests: Sequence[str] = (),
) -> FittedImages:
    """Encode `sources` so that they fit into `limits`, on `workers` cores (all by default).

    With `digests` (of `digest.digest`, one a source), an image that several calls need is encoded once, also when
    they ask at the same time. Raises `InputError` where pixels aren't numbers or the limits can't be met at all,
    and `Cancelled`.
    """
    if not sources:
        return FittedImages((), ())
    call = _Call(sources, limits, cancel, core_count() if workers is None else workers, digests)
    sent = call.encode()
    notes = [note for number, one in enumerate(sent) if (note := call.note(number, one))]
    return FittedImages(tuple(one.image for one in sent), tuple(notes))


def shrunk(limits: PayloadLimits, sent_bytes: int) -> PayloadLimits:
    """What to try after a body of `sent_bytes` was refused as too large: the next cap that servers are known for.

    There is one further try, so the step is a large one.
    """
    body = next((cap for cap in _COMMON_CAPS if cap <= 0.8 * sent_bytes), sent_bytes // 2)
    body = min(body, limits.body_bytes)
    return PayloadLimits(min(limits.image_bytes, body * 3 // 4), body)


def base64_length(count: int) -> int:
    """Characters of base64 text for `count` bytes."""
    return (count + 2) // 3 * 4


class _Call:
    """One call of `fit`."""

    def __init__(
        self,
        sources: Sequence[PixelSource],
        limits: PayloadLimits,
        cancel: CancelToken,
        workers: int,
        digests: Sequence[str],
    ) -> None:
        self._given = sources
        self._sources: list[PixelSource] = []
        self._limits = limits
        self._cancel = cancel
        self._digests = digests
        self._outer = min(workers, len(sources))
        # With many images, a core takes an image; with few, they work on each together.
        self._inner = workers if len(sources) < 2 * workers else 1
        self._room = max(0, limits.body_bytes - _RESERVED_BYTES)
        most = [encoding.most_bytes(source) for source in sources]
        self._fits_anyway = max(most) <= limits.image_bytes and sum(map(base64_length, most)) <= self._room
        self._plans: list[encoding.Plan] = []

    def encode(self) -> list[_Sent]:
        numbers = range(len(self._given))
        self._plans = self._each(numbers, self._plan)
        self._sources = [plan.source(given) for plan, given in zip(self._plans, self._given, strict=True)]
        wanted = self._lossless_choice()
        sent = dict(zip(numbers, self._each(numbers, lambda n: self._first(n, n in wanted)), strict=True))
        over = self._over(sent)
        while larger := [number for number in over if sent[number].is_lossless]:
            largest = max(larger, key=lambda number: len(sent[number].image.data))
            sent[largest] = self._lossy(largest)
            over = self._over(sent)
        scaled_down = self._each(list(over), lambda number: self._scaled(number, sent[number], over[number]))
        sent.update(zip(over, scaled_down, strict=True))
        return [sent[number] for number in numbers]

    def note(self, number: int, sent: _Sent) -> str | None:
        """What was done to image `number` (0 for the first), or None where it is sent as it is."""
        if sent.is_lossless:
            return None
        source, kind = self._sources[number], sent.image.mime.removeprefix("image/").upper()
        original = (source.width, source.height)
        size, needed = _megabytes(len(sent.image.data)), _megabytes(self._plans[number].lossless_bytes)
        if sent.size != original:
            return (
                f"Image {number + 1} was scaled from {original[0]} x {original[1]} to {sent.size[0]} x "
                f"{sent.size[1]} pixels and sent as {kind} ({size}), to stay within {self._limit_words()}."
            )
        return (
            f"Image {number + 1} was sent as {kind} in high quality ({size}): "
            f"without any loss it takes about {needed}, too much for {self._limit_words()}."
        )

    def _limit_words(self) -> str:
        limits = self._limits
        return f"{_megabytes(limits.image_bytes)} an image and {_megabytes(limits.body_bytes)} a request"

    def _plan(self, number: int) -> encoding.Plan:
        if self._fits_anyway:
            return encoding.unmeasured_plan(self._given[number], self._cancel)
        make = partial(encoding.plan, self._given[number], self._cancel, self._inner)
        return _plans.get(self._digests[number], make, self._cancel) if self._digests else make()

    def _each(self, numbers: Sequence[int], work: Callable[[int], T]) -> list[T]:
        return run_all([partial(work, number) for number in numbers], self._outer, self._cancel)

    def _cached(self, number: int, step: tuple[object, ...], make: Callable[[], _Sent | None]) -> _Sent | None:
        if not self._digests:
            return make()
        return _encoded.get((self._digests[number], *step), make, self._cancel)

    def _lossless_choice(self) -> set[int]:
        """Those that are small beside the others, and as many more as fit beside the others' lossy forms."""
        lossless = [base64_length(plan.lossless_bytes) for plan in self._plans]
        extra = [larger - base64_length(plan.lossy_bytes) for larger, plan in zip(lossless, self._plans, strict=True)]
        numbers = range(len(self._plans))
        # A single image is tried in any case: its own limit decides, and a smaller format may fit.
        chosen = {0} if len(numbers) == 1 else {n for n in numbers if lossless[n] <= self._room // len(numbers) // 2}
        total = sum(lossless[n] if n in chosen else lossless[n] - extra[n] for n in numbers)
        for number in sorted(set(numbers) - chosen, key=extra.__getitem__):
            if total + extra[number] <= self._room:
                chosen.add(number)
                total += extra[number]
        return chosen

    def _first(self, number: int, try_lossless: bool) -> _Sent:
        limit = min(self._limits.image_bytes, self._room * 3 // 4)
        source, planned = self._sources[number], self._plans[number]

        def make() -> _Sent | None:
            image = encoding.lossless(source, planned, limit, self._cancel, self._inner)
            return _Sent(image, (source.width, source.height), True) if image else None

        found = self._cached(number, ("lossless", limit), make) if try_lossless else None
        return found or self._lossy(number)

    def _lossy(self, number: int) -> _Sent:
        source = self._sources[number]
        most = encoding.most_side(source)
        longest = max(source.width, source.height)
        factor = min(1.0, most / longest)
        return self._at_scale(number, factor)

    def _at_scale(self, number: int, factor: float) -> _Sent:
        source = self._sources[number]
        size = scaled(source.width, source.height, factor)

        def make() -> _Sent:
            small = source if factor == 1.0 else ScaledSource(source, size[1], size[0])
            return _Sent(encoding.lossy(small, self._cancel, self._inner), size, False)

        made = self._cached(number, ("lossy", size), make)
        return made or make()

    def _over(self, sent: dict[int, _Sent]) -> dict[int, int]:
        """The images that take more than their share, and that share in bytes.

        None gets more than it needs, and the large ones equally much; an image's own limit counts too.
        """
        over: dict[int, int] = {}
        room = self._room // 4 * 3
        for before, number in enumerate(sorted(sent, key=lambda number: len(sent[number].image.data))):
            # Base64 goes by threes.
            share = min(room // (len(sent) - before), self._limits.image_bytes) // 3 * 3
            needed = len(sent[number].image.data)
            if needed > share:
                over[number] = share
            room -= min(base64_length(needed) // 4 * 3, share)
        return over

    def _scaled(self, number: int, sent: _Sent, share: int) -> _Sent:
        """Scaled down until it takes at most `share` bytes, and little less."""
        fits: _Sent | None = None
        fitting, too_large = 0.0, 1.0
        at_factor, at_bytes = 1.0, len(sent.image.data)
        # Bytes go with the factor to this power: with the pixels at first, then as the tries show.
        power = 2.0
        for _ in range(_SCALE_TRIES):
            factor = at_factor * (_AIM * share / at_bytes) ** (1 / power)
            # Never outside of what is known already.
            if not fitting < factor < too_large:
                factor = (fitting + too_large) / 2
            if self._longest_side(number, factor) < _LEAST_SIDE:
                break
            tried = self._at_scale(number, factor)
            tried_bytes = len(tried.image.data)
            if tried_bytes != at_bytes:
                power = min(max(math.log(tried_bytes / at_bytes) / math.log(factor / at_factor), 1.0), 4.0)
            at_factor, at_bytes = factor, tried_bytes
            if tried_bytes > share:
                too_large = factor
                continue
            fits, fitting = tried, factor
            if tried_bytes >= _CLOSE_ENOUGH * share:
                break
        if fits is None:
            raise InputError(
                f"Image {number + 1} can't be made small enough for {self._limit_words()}.",
                "Raise the limits in the settings, or give fewer images.",
            )
        return fits

    def _longest_side(self, number: int, factor: float) -> int:
        source = self._sources[number]
        return max(scaled(source.width, source.height, factor))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"
