"""An image file's bytes to 8-bit pixels: every kind that gateways send, capped before decoding."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..cancel import CancelToken
from ..errors import ImageError
from . import deep
from .headers import header_size, is_cut_short, png_exif
from .inflating import inflated_ahead
from .sniff import sniff
from .sources import strip_rows
from .values import to_float
from .workers import run_all, share_of_cores

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

log = logging.getLogger(__name__)

MAX_PIXELS = 200_000_000
MAX_BYTES = 128 * 1024 * 1024

_WIDTH_TAG, _HEIGHT_TAG, _ORIENTATION_TAG = 0x0100, 0x0101, 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP_BYTES = 1 << 20
_WORTH_A_THREAD = 1 << 23
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_KEYED_MODES = ("1", "L", "P", "RGB")


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """`rgb`: [H,W,3] uint8. `alpha`: [H,W] uint8, 255 opaque and not multiplied in, or None where the file has none.

    `values`: [H,W,3] float32 of `rgb`, see `to_float`: what an IMAGE holds. None where it wasn't asked for.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    values: NDArray[np.float32] | None = None

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])


def decode(
    data: bytes, *, values: bool = False, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> DecodedImage:
    """The image in `data`, turned upright by its EXIF orientation, as 8-bit RGB and alpha, and as `values` if asked.

    Asking here is faster than working the values out afterwards: their memory is made ready while the file is decoded.
    16-bit levels v become round(v / 257). Of an animation the first frame is taken. Raises `ImageError` for bytes
    that are no image, a broken or truncated one, and, before decoding, for one over `max_bytes` or `max_pixels`.
    """
    image = _open(data, max_pixels, max_bytes)
    with share_of_cores() as cores:
        return _decoded(image, len(data), partial(_open, data, max_pixels, max_bytes), values, cores)


def size_of(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """(width, height) in pixels as shown (EXIF orientation applied), without decoding. Raises `ImageError`."""
    image = _open(data, max_pixels, max_bytes)
    width, height = image.size
    orientation = _orientation_before_loading(image, data)
    if image.format == "TIFF":
        # Some versions of Pillow give a TIFF's upright size by themselves.
        tiff: Any = image
        width, height = tiff.tag_v2[_WIDTH_TAG], tiff.tag_v2[_HEIGHT_TAG]
    return (height, width) if orientation >= 5 else (width, height)


def _orientation_before_loading(image: ImageFile, data: bytes) -> int:
    if image.format != "PNG":
        return _orientation(image)
    # Asked for it, Pillow would decode the whole image, since a PNG's may stand behind the pixels.
    described = Image.new("1", (1, 1))
    described.info["exif"] = png_exif(data) or b""
    return _orientation(described)


def _decoded(
    image: ImageFile, file_bytes: int, open_again: Callable[[], ImageFile], values: bool, cores: int
) -> DecodedImage:
    size = image.width * image.height * 3
    levels = np.empty(size, np.uint8)
    floats = np.empty(size if values else 0, np.float32)
    with _fetched(cores, levels, floats):
        try:
            upright = _upright(_loaded(image, file_bytes, open_again, cores))
        except Exception as error:
            raise ImageError(f"The image can't be decoded: it is broken or incomplete ({_words(error)}).") from error
    shape = (upright.height, upright.width, 3)
    alpha = np.empty(shape[:2], np.uint8) if _has_alpha(upright) else None
    decoded = DecodedImage(levels.reshape(shape), alpha, floats.reshape(shape) if values else None)
    try:
        _unpack(upright, decoded, cores)
    except ValueError as error:
        raise ImageError(f"The image's colours can't be read ({_words(error)}).") from error
    return decoded


def _loaded(image: ImageFile, file_bytes: int, open_again: Callable[[], ImageFile], cores: int) -> Image.Image:
    with inflated_ahead(image, file_bytes, cores) as ahead:
        try:
            return deep.load(image, open_again)
        except Exception:
            if not ahead:
                raise
    return deep.load(open_again(), open_again)


def _upright(image: Image.Image) -> Image.Image:
    transpose = _TRANSPOSES.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


@contextmanager
def _fetched(cores: int, *arrays: NDArray[Any]) -> Generator[None]:
    """Have the system hand out the memory of `arrays` on another core meanwhile: of large ones a tenth of the work."""
    if cores < 2 or sum(array.nbytes for array in arrays) < _WORTH_A_THREAD:
        yield
        return

    def fill() -> None:
        for array in arrays:
            array.fill(0)

    thread = threading.Thread(target=fill, name="nanobanana-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or (image.mode in _KEYED_MODES and "transparency" in image.info)


def _unpack(image: Image.Image, decoded: DecodedImage, cores: int) -> None:
    """Fill the arrays of `decoded` from Pillow's memory, strip by strip on `cores` cores."""
    rgb, alpha, values = decoded.rgb, decoded.alpha, decoded.values
    mode = "RGB" if alpha is None else "RGBA"
    width, height = image.size
    rows = strip_rows(width, 4, _STRIP_BYTES)

    def strip(start: int) -> None:
        stop = min(start + rows, height)
        part = image.crop((0, start, width, stop))
        if part.mode != mode:
            part = part.convert(mode)
        pixels = np.frombuffer(part.tobytes(), np.uint8).reshape(stop - start, width, len(mode))
        rgb[start:stop] = pixels[:, :, :3]
        if alpha is not None:
            alpha[start:stop] = pixels[:, :, 3]
        if values is not None:
            to_float(rgb[start:stop], values[start:stop])

    run_all([partial(strip, start) for start in range(0, height, rows)], cores, CancelToken())


def _open(data: bytes, max_pixels: int, max_bytes: int) -> ImageFile:
    """Read the header only. The reader of the sniffed kind is called itself.

    `Image.open` would warn above 89 and refuse above 179 megapixels, by a limit that belongs to the whole process.
    """
    if len(data) > max_bytes:
        raise ImageError(f"The image's file is too large: {len(data) / 1e6:.0f} MB, at most {max_bytes / 1e6:.0f} MB.")
    kind = sniff(data)
    if kind is None:
        raise ImageError(f"What came is not an image: it begins with {data[:24]!r}." if data else "The file is empty.")
    _check_size(header_size(data, kind), max_pixels)
    if is_cut_short(data, kind):
        raise ImageError(f"The image is incomplete: the {kind.upper()} file of {len(data)} bytes is cut short.")
    reader = _reader(kind)
    try:
        image = reader(BytesIO(data))
    except Exception as error:
        raise ImageError(f"The image can't be read: its {kind.upper()} header is broken ({_words(error)}).") from error
    _check_size(image.size, max_pixels)
    return image


def _check_size(size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"The image is empty: {width} x {height} pixels.")
    if width * height > max_pixels:
        raise ImageError(
            f"The image is too large: {width} x {height} pixels, at most {max_pixels / 1e6:.0f} megapixels."
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
        try:
            from PIL.AvifImagePlugin import AvifImageFile as Reader
        except ImportError as error:
            raise ImageError("This version of Pillow can't read AVIF images.", "Update Pillow to 11.3.") from error
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
