"""A picture file's bytes to 8-bit pixels: every kind that gateways send, capped before decoding."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..cancel import CancelToken
from ..errors import ImageError
from . import deep
from .headers import header_size, is_cut_short
from .sniff import sniff
from .workers import core_count, run_all

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

PutRows = Callable[[int, int, NDArray[np.uint8]], None]

log = logging.getLogger(__name__)

MAX_PIXELS = 200_000_000
MAX_BYTES = 128 * 1024 * 1024

_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KEPT_HINT = "The original file is kept: it can be opened from the history."
_STRIP_BYTES = 1 << 20
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_KEYED_MODES = ("1", "L", "P", "RGB")


@dataclass(frozen=True, eq=False)
class Picture:
    """`rgb`: [H,W,3] uint8. `alpha`: [H,W] uint8, 255 opaque and not multiplied in, or None where the file has none."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Picture:
    """The picture in `data`, turned upright by its EXIF orientation, as 8-bit RGB and alpha.

    16-bit levels v become round(v / 257). Of an animation the first frame is taken. Raises `ImageError` for bytes
    that are no picture, a broken or truncated one, and, before decoding, for one over `max_bytes` or `max_pixels`.
    """
    image = load(data, max_pixels=max_pixels, max_bytes=max_bytes)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    alpha = np.empty((image.height, image.width), np.uint8) if has_alpha(image) else None

    def put(start: int, stop: int, pixels: NDArray[np.uint8]) -> None:
        rgb[start:stop] = pixels[:, :, :3]
        if alpha is not None:
            alpha[start:stop] = pixels[:, :, 3]

    for_each_strip(image, put)
    return Picture(rgb, alpha)


def size_of(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """(width, height) in pixels as shown (EXIF orientation applied), without decoding. Raises `ImageError`."""
    image = _open(data, max_pixels, max_bytes)
    width, height = image.size
    # Pillow's TIFF reader gives the upright size by itself.
    lying = image.format != "TIFF" and _orientation(image) >= 5
    return (height, width) if lying else (width, height)


def load(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Image.Image:
    """`data` decoded and upright, in one of Pillow's 8-bit modes, for `for_each_strip`. Raises as `decode` does."""
    image = _open(data, max_pixels, max_bytes)
    try:
        upright = deep.load(image, partial(_open, data, max_pixels, max_bytes))
        transpose = _TRANSPOSES.get(_orientation(upright))
        if transpose is not None:
            upright = upright.transpose(transpose)
    except Exception as error:
        raise ImageError(
            f"The picture can't be decoded: it is broken or incomplete ({_words(error)}).", _KEPT_HINT
        ) from error
    return upright


def has_alpha(image: Image.Image) -> bool:
    """Whether `for_each_strip` gives four channels for `image`, not three."""
    return image.mode in _ALPHA_MODES or (image.mode in _KEYED_MODES and "transparency" in image.info)


def for_each_strip(image: Image.Image, put: PutRows) -> None:
    """Hand every row of a loaded `image` to `put(start, stop, pixels)`, [stop - start, W, 3 or 4], on several cores."""
    mode = "RGBA" if has_alpha(image) else "RGB"
    width, height = image.size
    rows = max(1, _STRIP_BYTES // (4 * width))

    def strip(start: int, stop: int) -> None:
        part = image.crop((0, start, width, stop))
        if part.mode != mode:
            part = part.convert(mode)
        put(start, stop, np.frombuffer(part.tobytes(), np.uint8).reshape(stop - start, width, len(mode)))

    jobs = [partial(strip, start, min(start + rows, height)) for start in range(0, height, rows)]
    run_all(jobs, core_count(), CancelToken())


def _open(data: bytes, max_pixels: int, max_bytes: int) -> ImageFile:
    """Read the header only. The reader of the sniffed kind is called itself.

    `Image.open` would warn above 89 and refuse above 179 megapixels, by a limit that belongs to the whole process.
    """
    if len(data) > max_bytes:
        raise ImageError(
            f"The picture's file is too large: {len(data) / 1e6:.0f} MB, at most {max_bytes / 1e6:.0f} MB."
        )
    kind = sniff(data)
    if kind is None:
        raise ImageError(f"What came is not a picture: it begins with {data[:24]!r}." if data else "The file is empty.")
    _check_size(header_size(data, kind), max_pixels)
    if is_cut_short(data, kind):
        raise ImageError(f"The picture is incomplete: the {kind.upper()} file of {len(data)} bytes is cut short.")
    try:
        image = _reader(kind)(BytesIO(data))
    except Exception as error:
        raise ImageError(
            f"The picture can't be read: its {kind.upper()} header is broken ({_words(error)}).", _KEPT_HINT
        ) from error
    _check_size(image.size, max_pixels)
    return image


def _check_size(size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"The picture is empty: {width} x {height} pixels.")
    if width * height > max_pixels:
        raise ImageError(
            f"The picture is too large: {width} x {height} pixels, at most {max_pixels / 1e6:.0f} megapixels."
        )


def _reader(kind: str) -> type[ImageFile]:
    if kind == "png":
        from PIL.PngImagePlugin import PngImageFile as Reader
    elif kind == "jpeg":
        from PIL.JpegImagePlugin import JpegImageFile as Reader
    elif kind == "webp":
        from PIL.WebPImagePlugin import WebPImageFile as Reader
    elif kind == "gif":
        from PIL.GifImagePlugin import GifImageFile as Reader
    elif kind == "tiff":
        from PIL.TiffImagePlugin import TiffImageFile as Reader
    elif kind == "bmp":
        from PIL.BmpImagePlugin import BmpImageFile as Reader
    else:
        from PIL.AvifImagePlugin import AvifImageFile as Reader
    return Reader


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # noqa: BLE001 - hostile metadata may raise anything, and the pixels are still good
        log.debug("EXIF data can't be read: %s", error)
        return 1
    return value if value in _TRANSPOSES else 1


def _words(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
