"""One picture's ways into a request: estimated from a few rows, then measured. Which one is taken, payload decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Final

from ..cancel import CancelToken
from ..request import EncodedImage
from . import jpeg, png
from .sources import ArraySource, OpaqueSource, PixelSource, to_pillow
from .workers import run_all

WEBP_MOST_SIDE: Final = 16383
# Lossless WebP needs the whole picture in memory several times over, about 20 bytes a pixel: for small ones only.
_WEBP_LOSSLESS_PIXELS: Final = 8_000_000
_SAMPLES: Final = 8
_SAMPLE_ROWS: Final = 16
# What a JPEG file holds besides its coded pixels: 4:4:4 with standard tables, measured.
_JPEG_HEADER_BYTES: Final = 623
# Samples lack the runs and the shared tables of the whole. Up to this factor over the limit it is worth a try.
_HOPE: Final = 1.05


@dataclass(frozen=True)
class Plan:
    """What is known of a picture before it is encoded.

    `is_opaque`: it has an alpha channel that says nothing. `lossless_bytes`, `lossy_bytes`: a file's, estimated.
    """

    is_opaque: bool
    deflate: png.Deflate
    lossless_bytes: int
    lossy_bytes: int

    def source(self, source: PixelSource) -> PixelSource:
        """The planned picture as it is sent."""
        return OpaqueSource(source) if self.is_opaque else source


def plan(source: PixelSource, cancel: CancelToken, workers: int) -> Plan:
    """Look at about a hundred rows of `source`. Raises what reading them raises."""
    is_opaque = source.channels == 4 and _is_opaque(source, cancel)
    if is_opaque:
        source = OpaqueSource(source)
    samples = _sample_rows(source.height)
    sizes = run_all([partial(_sample_sizes, source, *rows) for rows in samples], workers, cancel)
    scale = source.height / sum(stop - start for start, stop in samples)
    runs, repeats, lossy_bytes = (sum(column) * scale for column in zip(*sizes, strict=True))
    # Looking for repeats takes a third more time, so it has to pay.
    deflate, lossless_bytes = (png.REPEATS, repeats) if repeats < 0.93 * runs else (png.RUNS, runs)
    return Plan(is_opaque, deflate, round(lossless_bytes), round(lossy_bytes) + _JPEG_HEADER_BYTES)


def lossless(source: PixelSource, planned: Plan, limit: int, cancel: CancelToken, workers: int) -> EncodedImage | None:
    """`source`, as its plan gives it, bit-exact in at most `limit` bytes by the fastest way that can, or None."""
    if planned.lossless_bytes <= limit * _HOPE:
        try:
            data = png.encode_png(source, deflate=planned.deflate, limit=limit, cancel=cancel, workers=workers)
        except png.TooManyBytes:
            pass
        else:
            return EncodedImage(data, "image/png")
    if not _webp_may_be_lossless(source) or planned.lossless_bytes > limit * 2:
        return None
    cancel.check()
    if webp_sample_bytes(source) > limit * _HOPE:
        return None
    cancel.check()
    data = _webp(source, lossless=True, quality=0)
    return EncodedImage(data, "image/webp") if len(data) <= limit else None


def lossy(source: PixelSource, cancel: CancelToken, workers: int) -> EncodedImage:
    """The picture without visible loss: JPEG 4:4:4, or WebP where there is an alpha channel."""
    if source.channels == 4:
        return EncodedImage(_webp(source, lossless=False, quality=jpeg.QUALITY), "image/webp")
    return EncodedImage(jpeg.encode_jpeg(source, cancel=cancel, workers=workers), "image/jpeg")


def most_side(source: PixelSource) -> int:
    """The longest side that `lossy` can encode."""
    return WEBP_MOST_SIDE if source.channels == 4 else jpeg.MOST_SIDE


def webp_sample_bytes(source: PixelSource) -> int:
    """What lossless WebP would come to, from a few rows."""
    samples = _sample_rows(source.height)
    sampled = sum(
        len(_webp(ArraySource(source.rows(start, stop)), lossless=True, quality=0)) for start, stop in samples
    )
    return round(sampled * source.height / sum(stop - start for start, stop in samples))


def _webp_may_be_lossless(source: PixelSource) -> bool:
    fits = max(source.width, source.height) <= WEBP_MOST_SIDE
    return fits and source.width * source.height <= _WEBP_LOSSLESS_PIXELS


def _webp(source: PixelSource, *, lossless: bool, quality: int) -> bytes:
    out = BytesIO()
    # Method 0 is the fastest; higher ones save a few percent. `exact` keeps the colour under full transparency.
    to_pillow(source.rows(0, source.height)).save(
        out, "WEBP", lossless=lossless, quality=quality, method=0, exact=lossless
    )
    return out.getvalue()


def _sample_sizes(source: PixelSource, start: int, stop: int) -> tuple[int, int, int]:
    """What a few rows come to: deflated without and with a search for repeats, and lossy."""
    rows = ArraySource(source.rows(start, stop))
    lossy_bytes = len(lossy(rows, CancelToken(), 1).data) - _JPEG_HEADER_BYTES
    return png.deflated_bytes(rows, png.RUNS), png.deflated_bytes(rows, png.REPEATS), max(0, lossy_bytes)


def _sample_rows(height: int) -> list[tuple[int, int]]:
    """Spread evenly; everything where the picture is small."""
    if height <= _SAMPLES * _SAMPLE_ROWS * 2:
        return [(0, height)]
    step = (height - _SAMPLE_ROWS) / (_SAMPLES - 1)
    return [(round(i * step), round(i * step) + _SAMPLE_ROWS) for i in range(_SAMPLES)]


def _is_opaque(source: PixelSource, cancel: CancelToken) -> bool:
    for start in range(0, source.height, _SAMPLE_ROWS):
        cancel.check()
        if source.rows(start, min(start + _SAMPLE_ROWS, source.height))[:, :, 3].min() < 255:
            return False
    return True
