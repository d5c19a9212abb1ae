"""An image file's bytes to 8-bit pixels: every kind that gateways send, its size capped first. And thumbnails."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .headers import header_size, is_cut_short, is_heic, sniff, without_lead
from .parallel import images, run_all, strip_rows

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

log = logging.getLogger(__name__)

MAX_PIXELS = 200_000_000
MAX_BYTES = 128 * 1024 * 1024
NO_MEMORY = (
    "This computer has too little memory left for the image.",
    "Close other programs, or choose a model that makes smaller images, then run again.",
)

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
_STRIP_BYTES = 1 << 20
# Numpy works through a block while it is in the processor's cache.
_BLOCK_VALUES = 1 << 16
_THUMBNAIL_QUALITY = 82
_CONVERTED = "Its colours were converted from {space} to sRGB."
_PNG = b"\x89PNG"
# PNG's chunk about colours comes before the palette and the pixels.
_HEAD_BYTES = 4096
_NO_END = "The image's file lacks its end marker; all its pixels are there."
_CUT_SHORT = "The image is incomplete: the {kind} file of {bytes} bytes is cut short."
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
# The factor from a level of 2, 4 or 16 bits to one of 8.
_KEY_SCALES = {"L;2": 85.0, "L;4": 17.0, "I;16B": 1 / 256, "RGB;16B": 1 / 256}
_KEYED_MODES = ("1", "L", "P", "RGB")


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """`rgb`: [H,W,3] uint8. `alpha`: [H,W] uint8, 255 opaque and not multiplied in, or None if the file has none.

    `as_float`: [H,W,3] float32 of `rgb`, see `to_float`: what an IMAGE holds. None unless asked for. `warning`: a
    sentence about what is not as one would expect, or empty.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    as_float: NDArray[np.float32] | None = None
    warning: str = ""

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])


def decode(
    data: bytes, *, want_float: bool = False, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> DecodedImage:
    """The image in `data`, turned upright by its EXIF orientation, as 8-bit RGB and alpha; as float32 too if asked.

    Colours become sRGB. 16-bit levels are cut to their upper byte, animations to their first frame. Raises `ImageError`
    for bytes that aren't an image, for a broken or truncated one, and, before decoding, for one over `max_bytes` or
    `max_pixels`.
    A JPEG that lacks nothing but its end marker is decoded.
    """
    try:
        return _decode(data, want_float=want_float, max_pixels=max_pixels, max_bytes=max_bytes)
    except MemoryError as error:
        raise ImageError(*NO_MEMORY) from error


def _decode(data: bytes, *, want_float: bool, max_pixels: int, max_bytes: int) -> DecodedImage:
    data = without_lead(data)
    if sniff(data) == "jpeg" and len(data) <= max_bytes and is_cut_short(data, "jpeg", strict=True):
        return _without_end(data, want_float=want_float, max_pixels=max_pixels, max_bytes=max_bytes)
    image = _open(data, max_pixels, max_bytes)
    try:
        upright, space = _in_srgb(_upright(_load(image)), data)
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(
            f"The image can't be decoded: it is broken or incomplete ({_reason(error)}).", damaged=True
        ) from error
    shape = (upright.height, upright.width, 3)
    decoded = DecodedImage(
        images.empty(shape, np.uint8),
        np.empty(shape[:2], np.uint8) if _has_alpha(upright) else None,
        images.empty(shape, np.float32) if want_float else None,
        _CONVERTED.format(space=space) if space else "",
    )
    try:
        _unpack(upright, decoded)
    except ValueError as error:
        raise ImageError(f"The image's colours can't be read ({_reason(error)}).") from error
    return decoded


def _without_end(data: bytes, *, want_float: bool, max_pixels: int, max_bytes: int) -> DecodedImage:
    """A JPEG without its end marker: if pixels are missing too, they come from what is put in their place."""
    _check_size(header_size(data, "jpeg"), max_pixels)
    if is_cut_short(data + b"\xff\xd9", "jpeg"):
        raise ImageError(_CUT_SHORT.format(kind="JPEG", bytes=len(data)), damaged=True)
    first, second = (
        decode(data + filling + b"\xff\xd9", want_float=want_float, max_pixels=max_pixels, max_bytes=max_bytes + 65536)
        for filling in (bytes(4096), b"\x55" * 4096)
    )
    if not np.array_equal(first.rgb, second.rgb):
        raise ImageError(_CUT_SHORT.format(kind="JPEG", bytes=len(data)), damaged=True)
    return replace(first, warning=f"{first.warning} {_NO_END}".strip())


def _load(image: ImageFile) -> Image.Image:
    """`image` decoded to 8 bits a channel; 16-bit levels keep the upper byte, as Pillow itself does for colour."""
    # By index: before Pillow 11 tiles were plain tuples.
    layout: object = image.tile[0][3] if image.format == "PNG" and image.tile else ""
    _load_strictly(image)
    key: Any = image.info.get("transparency")
    if (scale := _KEY_SCALES.get(str(layout))) and key is not None:
        # The file gives the transparent colour in its own levels; the pixels are decoded to 8 bits.
        image.info["transparency"] = (
            int(key * scale) if isinstance(key, int) else tuple(int(one * scale) for one in key)
        )
    if image.mode.startswith("I;16") or (image.mode == "I" and layout == "I;16B"):
        eight_bits = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        eight_bits.info = image.info
        return eight_bits
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(f"pixels of the kind {image.mode} are not supported")
    return image


def _load_strictly(image: ImageFile) -> None:
    """Decode the pixels; raises if some are missing.

    Packs and the host itself set Pillow's LOAD_TRUNCATED_IMAGES, and others' images may depend on it: the flag stays,
    and this image alone is loaded by the same code as if it were not set.
    """
    module = sys.modules["PIL.ImageFile"]
    if module.LOAD_TRUNCATED_IMAGES and type(image).load is module.ImageFile.load:
        strict = {**vars(module), "LOAD_TRUNCATED_IMAGES": False}
        FunctionType(module.ImageFile.load.__code__, strict)(image)
    else:
        image.load()


def _in_srgb(image: Image.Image, data: bytes) -> tuple[Image.Image, str]:
    """The image in sRGB, and the name of the colour space that it was in, empty if it was sRGB. Most are."""
    said = image.info.keys() & {"icc_profile", "gamma"}
    if not said and not (data.startswith(_PNG) and b"cICP" in data[:_HEAD_BYTES]):
        return image, ""
    from .colour import in_srgb

    return in_srgb(image, data)


def _upright(image: Image.Image) -> Image.Image:
    transpose = _TRANSPOSES.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or (image.mode in _KEYED_MODES and "transparency" in image.info)


def _unpack(image: Image.Image, decoded: DecodedImage) -> None:
    """Fill the arrays of `decoded` from Pillow's memory, strip by strip on all cores."""
    rgb, alpha, as_float = decoded.rgb, decoded.alpha, decoded.as_float
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
        if as_float is not None:
            to_float(rgb[start:stop], as_float[start:stop])

    run_all([partial(strip, start) for start in range(0, height, rows)])


def to_float(levels: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Fill `out` with the float32 nearest to v / 255 of every level v; both [H,W] or [H,W,C] of the same shape."""
    rows = max(1, _BLOCK_VALUES // max(1, levels[0].size))
    for start in range(0, len(levels), rows):
        # A true division: multiplying by 1 / 255 would miss by one bit for some levels.
        np.divide(levels[start : start + rows], np.float32(255), out=out[start : start + rows])


def _open(data: bytes, max_pixels: int, max_bytes: int) -> ImageFile:
    """Read the header only. Calls the sniffed kind's reader directly.

    `Image.open` would warn above 89 and refuse above 179 megapixels, a limit that belongs to the whole process.
    """
    if len(data) > max_bytes:
        raise ImageError(f"The image's file is too large: {len(data) / 1e6:.0f} MB, at most {max_bytes / 1e6:.0f} MB.")
    kind = sniff(data)
    if kind is None and is_heic(data):
        raise ImageError("The image is a HEIC file, which can't be read here.", "Open it with another program.")
    if kind is None:
        raise ImageError(f"What came is not an image: it begins with {data[:24]!r}." if data else "The file is empty.")
    _check_size(header_size(data, kind), max_pixels)
    if is_cut_short(data, kind, strict=True):
        raise ImageError(_CUT_SHORT.format(kind=kind.upper(), bytes=len(data)), damaged=True)
    reader = _reader(kind)
    try:
        image = reader(BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(
            f"The image can't be read: its {kind.upper()} header is broken ({_reason(error)}).", damaged=True
        ) from error
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


def _reason(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__


def thumbnail(rgb: NDArray[np.uint8], side: int = 384) -> Image.Image:
    """`rgb` [H,W,3] uint8 as an image of at most `side` pixels a side.

    Every n-th pixel is taken first, down to twice the size: a proper filter over 16 million pixels takes 50 times as
    long, and nobody sees the difference at this size.
    """
    step = max(1, max(rgb.shape[:2]) // (2 * side))
    small = Image.fromarray(np.ascontiguousarray(rgb[::step]))
    if step > 1:
        # Pillow leaves out columns four times as fast as numpy gathers them.
        small = small.resize((-(-small.width // step), small.height), Image.Resampling.NEAREST)
    small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=1.0)
    return small


def on_gray(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`rgb` [H,W,3] laid over middle gray by its `alpha` [H,W] (255 opaque); both uint8."""
    weight = alpha[..., None].astype(np.uint16)
    return ((rgb * weight + 128 * (255 - weight)) // 255).astype(np.uint8)


def png(rgb: NDArray[np.uint8]) -> bytes:
    """[H,W,3] uint8 as a file, quickly rather than small."""
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def jpeg(small: Image.Image) -> bytes:
    """The file of a thumbnail."""
    file = BytesIO()
    small.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return file.getvalue()
