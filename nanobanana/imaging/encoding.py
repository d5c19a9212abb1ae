"""One image's ways into a request: estimated from a few rows, then measured. Which one is taken, payload decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Final

from ..cancel import CancelToken
from ..image_request import EncodedImage
from . import jpeg, png
from .sources import ArraySource, OpaqueSource, PixelSource, to_pillow
from .workers import run_all

WEBP_MOST_SIDE: Final = 16383
# Lossless WebP needs the whole image in memory several times over, about 20 bytes a pixel: for small ones only.
_WEBP_LOSSLESS_PIXELS: Final = 8_000_000
# It saves up to half of PNG's bytes, on drawings; a fifth on soft photographs, nothing on noise.
_WEBP_GAIN: Final = 2.0
# Of the lossy one: the fastest. The default takes three times as long for 2 % less.
_WEBP_METHOD: Final = 0
_SAMPLES: Final = 8
_SAMPLE_ROWS: Final = 16
# What a JPEG file holds besides its coded pixels: 4:4:4 with standard tables, measured.
_JPEG_HEADER_BYTES: Final = 623
# Samples lack the runs and the shared tables of the whole. Up to this factor over the limit it is worth a try.
_HOPE: Final = 1.05


@dataclass(frozen=True)
class Plan:
    """What is known of an image before it is encoded.

    `is_opaque`: it has an alpha channel that says nothing. `lossless_bytes`, `lossy_bytes`: a file's, estimated.
    """

    is_opaque: bool
    lossless_bytes: int
    lossy_bytes: int

    def source(self, source: PixelSource) -> PixelSource:
        """The planned image as it is sent."""
        return OpaqueSource(source) if self.is_opaque else source


def most_bytes(source: PixelSource) -> int:
    """What `source` can't exceed without loss, whatever is in it."""
    # Deflate leaves what it can't shorten as it is, but for some bytes a block; then come the chunks around.
    return round(source.height * (1 + source.width * source.channels) * 1.001) + 1024


def unmeasured_plan(source: PixelSource, cancel: CancelToken) -> Plan:
    """The plan for an image that fits without loss in any case: no rows have to be tried."""
    return Plan(source.channels == 4 and _is_opaque(source, cancel), most_bytes(source), 0)


def plan(source: PixelSource, cancel: CancelToken, workers: int) -> Plan:
    """Look at about a hundred rows of `source`. Raises what reading them raises."""
    is_opaque = source.channels == 4 and _is_opaque(source, cancel)
    if is_opaque:
        source = OpaqueSource(source)
    samples = _sample_rows(source.height)
    sizes = run_all([partial(_sample_sizes, source, *rows) for rows in samples], workers, cancel)
    scale = source.height / sum(stop - start for start, stop in samples)
    lossless_bytes, lossy_bytes = (sum(column) * scale for column in zip(*sizes, strict=True))
    return Plan(is_opaque, round(lossless_bytes), round(lossy_bytes) + _JPEG_HEADER_BYTES)


def lossless(source: PixelSource, planned: Plan, limit: int, cancel: CancelToken, workers: int) -> EncodedImage | None:
    """`source`, as its plan gives it, bit-exact in at most `limit` bytes by the fastest way that can, or None."""
    if planned.lossless_bytes <= limit * _HOPE:
        try:
            return EncodedImage(png.encode_png(source, limit=limit, cancel=cancel, workers=workers), "image/png")
        except png.TooManyBytes:
            pass
    if not _webp_may_be_lossless(source) or planned.lossless_bytes > limit * _WEBP_GAIN:
        return None
    cancel.check()
    if _webp_sample_bytes(source) > limit * _HOPE:
        return None
    cancel.check()
    data = _webp_lossless(source)
    return EncodedImage(data, "image/webp") if len(data) <= limit else None


def lossy(source: PixelSource, cancel: CancelToken, workers: int) -> EncodedImage:
    """The image without visible loss: JPEG 4:4:4, or WebP where there is an alpha channel."""
    if source.channels == 4:
        return EncodedImage(_webp(source, quality=jpeg.QUALITY, method=_WEBP_METHOD), "image/webp")
    return EncodedImage(jpeg.encode_jpeg(source, cancel=cancel, workers=workers), "image/jpeg")


def most_side(source: PixelSource) -> int:
    """The longest side that `lossy` can encode."""
    return WEBP_MOST_SIDE if source.channels == 4 else jpeg.MOST_SIDE


def _webp_may_be_lossless(source: PixelSource) -> bool:
    fits = max(source.width, source.height) <= WEBP_MOST_SIDE
    return fits and source.width * source.height <= _WEBP_LOSSLESS_PIXELS


def _webp_sample_bytes(source: PixelSource) -> int:
    """What lossless WebP would come to, from a few rows."""
    samples = _sample_rows(source.height)
    sampled = sum(len(_webp_lossless(ArraySource(source.rows(start, stop)))) for start, stop in samples)
    return round(sampled * source.height / sum(stop - start for start, stop in samples))


def _webp_lossless(source: PixelSource) -> bytes:
    # With less effort photographs come out larger than as PNG; more takes two to four times as long for 0 to 15 %.
    # `exact` keeps the colour under full transparency.
    return _webp(source, lossless=True, quality=20, method=1, exact=True)


def _webp(source: PixelSource, **options: int) -> bytes:
    out = BytesIO()
    to_pillow(source.rows(0, source.height)).save(out, "WEBP", **options)
    return out.getvalue()


def _sample_sizes(source: PixelSource, start: int, stop: int) -> tuple[int, int]:
    """What a few rows come to: deflated, and lossy."""
    pixels = source.rows(start, stop)
    part = ArraySource(pixels[:, : most_side(source)])
    lossy_bytes = max(0, len(lossy(part, CancelToken(), 1).data) - _JPEG_HEADER_BYTES)
    return png.deflated_bytes(ArraySource(pixels)), lossy_bytes * source.width // part.width


def _sample_rows(height: int) -> list[tuple[int, int]]:
    """Spread evenly; everything where the image is small."""
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
