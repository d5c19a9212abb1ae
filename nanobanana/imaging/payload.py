"""Makes input images fit into one request: lossless if that fits, then JPEG 95, 90 and 85, then fewer pixels.

Two limits count: an image file's, and the whole body's, in which base64 makes 4 characters of 3 bytes. JPEG is
4:4:4. An image with an alpha channel becomes WebP of the same quality instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Final, TypeVar

from PIL import Image

from ..cancel import CancelToken
from ..errors import InputError
from ..image_request import EncodedImage
from . import jpeg
from .digest import digest
from .parallel import SingleFlight, core_count, run_all, strip_rows
from .png import TooManyBytes, encode_png
from .sources import OpaqueSource, PixelSource, ScaledSource, scaled, to_pillow

T = TypeVar("T")

QUALITIES: Final = (95, 90, 85)
# The longest sides that the formats can hold.
WEBP_MOST_SIDE: Final = 16383
# The rest of the body: the prompt (thousands of characters of any script, escaped) and the JSON around it.
_RESERVED_BYTES: Final = 64 * 1024
_CACHE_BYTES: Final = 64 * 1024 * 1024
_STRIP_BYTES: Final = 1 << 20
# An image may stay lossless up to this many times its equal part of the body.
_LOSSLESS_PARTS: Final = 2
_LEAST_SIDE: Final = 32
# Scaling aims a little below the limit, and is done once the result uses this part of it.
_AIM: Final = 0.97
_CLOSE_ENOUGH: Final = 0.9
_SCALE_TRIES: Final = 6
# Just below known limits of servers: 10 MB and 4.5 MB (hosted API gateways), 1 MB (nginx).
_COMMON_CAPS: Final = (9_500_000, 4_200_000, 950_000)


@dataclass(frozen=True)
class PayloadLimits:
    """`image_bytes`: an image's file. `body_bytes`: the request's body, base64 text included."""

    image_bytes: int = 7_000_000
    body_bytes: int = 20_000_000


@dataclass(frozen=True)
class FittedImages:
    """`images` in the order given. `notes`: for the person, a sentence for each image not sent losslessly."""

    images: tuple[EncodedImage, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Sent:
    """One image as encoded. `size`: (width, height) in pixels. `quality`: None if nothing is lost."""

    image: EncodedImage
    size: tuple[int, int]
    quality: int | None

    @property
    def bytes(self) -> int:
        return len(self.image.data)


_fitted: SingleFlight[FittedImages] = SingleFlight(
    _CACHE_BYTES, lambda fitted: sum(len(image.data) for image in fitted.images)
)


def fit(
    sources: Sequence[PixelSource],
    limits: PayloadLimits,
    *,
    cancel: CancelToken,
    workers: int | None = None,
    digests: Sequence[str] = (),
) -> FittedImages:
    """Encode `sources` to fit into `limits`, on `workers` cores (all by default).

    With `digests` (from `digest.digest`, one a source), images that several calls need are encoded once, even if
    they ask at the same time. Raises `InputError` if pixels aren't numbers or the limits can't be met at all, and
    `Cancelled`.
    """
    if not sources:
        return FittedImages((), ())
    make = partial(_fit, sources, limits, cancel, workers or core_count())
    return _fitted.get((tuple(digests), limits), make, cancel) if digests else make()


def shrunk(limits: PayloadLimits, sent_bytes: int) -> PayloadLimits:
    """What to try after a body of `sent_bytes` was refused as too large: the next lower limit that servers have.

    There is only one further try, hence the large step.
    """
    body = next((cap for cap in _COMMON_CAPS if cap <= 0.8 * sent_bytes), sent_bytes // 2)
    body = min(body, limits.body_bytes)
    return PayloadLimits(min(limits.image_bytes, body * 3 // 4), body)


def base64_length(count: int) -> int:
    """Characters of base64 text for `count` bytes."""
    return (count + 2) // 3 * 4


def _fit(sources: Sequence[PixelSource], limits: PayloadLimits, cancel: CancelToken, workers: int) -> FittedImages:
    count = len(sources)
    # With many images each core takes one; with few, the cores share each image.
    inner = workers if count < 2 * workers else 1
    room = max(0, limits.body_bytes - _RESERVED_BYTES) // 4 * 3
    lossless_most = min(limits.image_bytes, room, room * _LOSSLESS_PARTS // count)

    def each(numbers: Sequence[int], work: Callable[[int], T]) -> list[T]:
        return run_all([partial(work, number) for number in numbers], workers=min(workers, count), cancel=cancel)

    given = each(range(count), lambda number: _without_idle_alpha(sources[number], cancel))

    def first(number: int) -> _Sent | None:
        source = given[number]
        data = None
        # Not inside of `except`: the error's traceback holds what was encoded so far.
        with contextlib.suppress(TooManyBytes):
            data = encode_png(source, limit=lossless_most, cancel=cancel, workers=inner)
        if data is None:
            return _lossy_within(source, limits.image_bytes, cancel, inner)
        return _Sent(EncodedImage(data, "image/png"), (source.width, source.height), None)

    sent = dict(enumerate(each(range(count), first)))
    over = _over(sent, room, limits.image_bytes)
    while lossless := [number for number in over if (one := sent[number]) and one.quality is None]:
        # The largest image has the most to give: the others may then stay as they are.
        largest = max(lossless, key=lambda number: (sent[number] or _NOTHING).bytes)
        sent[largest] = _lossy_within(given[largest], limits.image_bytes, cancel, workers)
        over = _over(sent, room, limits.image_bytes)
    smaller = each(list(over), lambda number: _lossy_within(given[number], over[number], cancel, inner))
    sent.update(zip(over, smaller, strict=True))
    notes: list[str] = []
    for number, one in sent.items():
        if one is None:
            raise InputError(
                f"Image {number + 1} can't be made small enough for {_said(limits)}.",
                "Raise the limits in the settings, or give fewer images.",
            )
        notes += _note(number + 1, given[number], one, limits)
    return FittedImages(tuple(one.image for one in sent.values() if one), tuple(notes))


_NOTHING: Final = _Sent(EncodedImage(b"", ""), (0, 0), None)


def _over(sent: dict[int, _Sent | None], room: int, image_bytes: int) -> dict[int, int]:
    """The images that take more than their share of the body, and that share in bytes.

    None gets more than it needs, and the large ones get equal shares.
    """
    over: dict[int, int] = {}
    by_size = sorted(sent, key=lambda number: (sent[number] or _NOTHING).bytes)
    for before, number in enumerate(by_size):
        # Base64 takes bytes in threes.
        share = min(room // (len(sent) - before), image_bytes) // 3 * 3
        needed = (sent[number] or _NOTHING).bytes
        if needed > share:
            over[number] = share
        room -= min(base64_length(needed) // 4 * 3, share)
    return over


def _note(number: int, source: PixelSource, sent: _Sent, limits: PayloadLimits) -> list[str]:
    """What was done to an image, if anything was."""
    if sent.quality is None:
        return []
    how = f"{sent.image.mime.removeprefix('image/').upper()}, quality {sent.quality} ({_megabytes(sent.bytes)})"
    if sent.size == (source.width, source.height):
        return [f"Image {number} was sent as {how}: without loss it is too large for {_said(limits)}."]
    before, after = f"{source.width} x {source.height}", f"{sent.size[0]} x {sent.size[1]}"
    return [f"Image {number} was scaled from {before} to {after} pixels and sent as {how}, to fit {_said(limits)}."]


def _said(limits: PayloadLimits) -> str:
    return f"{_megabytes(limits.image_bytes)} an image and {_megabytes(limits.body_bytes)} a request"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"


def _lossy_within(source: PixelSource, limit: int, cancel: CancelToken, workers: int) -> _Sent | None:
    """`source` in at most `limit` bytes with the least loss, None if even a tiny one is too large."""
    most = WEBP_MOST_SIDE if source.channels == 4 else jpeg.MOST_SIDE
    factor = min(1.0, most / max(source.width, source.height))
    too_many = 0
    for quality in QUALITIES:
        sent = _lossy(source, quality, factor, limit, cancel, workers)
        if isinstance(sent, _Sent):
            return sent
        too_many = sent
    return _scaled_within(source, limit, factor, too_many, cancel, workers)


def _scaled_within(
    source: PixelSource, limit: int, factor: float, too_many: int, cancel: CancelToken, workers: int
) -> _Sent | None:
    """`source` at a size below `factor`, at which it takes `too_many` bytes, that makes good use of `limit`."""
    fits: _Sent | None = None
    low, high, at_factor, at_bytes = 0.0, factor, factor, too_many
    for _ in range(_SCALE_TRIES):
        # The bytes are roughly proportional to the pixels.
        guess = at_factor * sqrt(_AIM * limit / at_bytes)
        at_factor = guess if low < guess < high else (low + high) / 2
        if max(source.width, source.height) * at_factor < _LEAST_SIDE:
            break
        sent = _lossy(source, QUALITIES[-1], at_factor, limit, cancel, workers)
        if isinstance(sent, int):
            high, at_bytes = at_factor, sent
            continue
        fits, low, at_bytes = sent, at_factor, sent.bytes
        if at_bytes >= _CLOSE_ENOUGH * limit:
            break
    return fits


def _lossy(
    source: PixelSource, quality: int, factor: float, limit: int, cancel: CancelToken, workers: int
) -> _Sent | int:
    """`source` scaled by `factor` as a lossy file, or how many bytes that takes if they are over `limit`."""
    width, height = size = scaled(source.width, source.height, factor)
    small = source if factor == 1.0 else ScaledSource(source, height, width)
    if source.channels != 4:
        data = jpeg.encode_jpeg(small, quality=quality, limit=limit, cancel=cancel, workers=workers)
        return data if isinstance(data, int) else _Sent(EncodedImage(data, "image/jpeg"), size, quality)
    image = Image.new("RGBA", size)
    rows = strip_rows(width, source.channels, _STRIP_BYTES)
    for start in range(0, height, rows):
        cancel.check()
        image.paste(to_pillow(small.rows(start, min(start + rows, height))), (0, start))
    with jpeg.encoder_file() as file:
        # The slowest method takes three times as long for 2 % less.
        image.save(file, "WEBP", quality=quality, method=0)
        count = file.tell()
        file.seek(0)
        return count if count > limit else _Sent(EncodedImage(file.read(), "image/webp"), size, quality)


def _without_idle_alpha(source: PixelSource, cancel: CancelToken) -> PixelSource:
    """`source` without an alpha channel that is opaque everywhere."""
    if source.channels != 4:
        return source
    rows = strip_rows(source.width, 4, _STRIP_BYTES)
    for start in range(0, source.height, rows):
        cancel.check()
        if source.rows(start, min(start + rows, source.height))[:, :, 3].min() < 255:
            return source
    return OpaqueSource(source)


class InputImages:
    """The input images of an order, hashed once and encoded once for all of its calls.

    `sources` in the order in which they are sent. May be used from several threads at a time.

    Both methods may raise `InputError` for pixels that aren't numbers, and `Cancelled`.
    """

    def __init__(self, sources: Sequence[PixelSource]) -> None:
        self._sources = tuple(sources)
        self._digests: SingleFlight[tuple[str, ...]] = SingleFlight(1)

    def __len__(self) -> int:
        """How many images are sent."""
        return len(self._sources)

    def digests(self, cancel: CancelToken) -> tuple[str, ...]:
        """One digest an image, mask included: everything about the images that shapes the answer."""
        return self._digests.get("", lambda: tuple(digest(one, cancel=cancel) for one in self._sources), cancel)

    def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        """The images as files that fit into `limits`."""
        return fit(self._sources, limits, cancel=cancel, digests=self.digests(cancel))
