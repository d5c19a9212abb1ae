"""Decoding to Pillow's 8-bit modes, 16-bit levels v as round(v / 257). Pillow itself keeps their upper byte alone."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
# Pillow gives the transparent level of 2- and 4-bit grey as the file has it, but the pixels scaled to 8 bits.
_GREY_SCALES = {"L;2": 85, "L;4": 17}
_STRIP_ROWS = 64


def load(image: ImageFile, open_again: Callable[[], ImageFile]) -> Image.Image:
    """`image`, just opened, decoded to one of `EIGHT_BIT_MODES`. `open_again` opens it a second time, where needed.

    Raises what Pillow's decoders raise, and `ValueError` for modes with no known 8-bit meaning.
    """
    raw_mode = _raw_mode(image)
    if raw_mode in ("RGB;16B", "RGBA;16B"):
        return _deep_colour(image, open_again(), raw_mode)
    if raw_mode == "LA;16B":
        return _deep_grey_alpha(image)
    image.load()
    if image.mode.startswith("I;16") or (image.mode == "I" and raw_mode == "I;16B"):
        return _deep_grey(image)
    if image.mode not in EIGHT_BIT_MODES:
        raise ValueError(f"pixels of the kind {image.mode} are not supported")
    level: Any = image.info.get("transparency")
    if raw_mode in _GREY_SCALES and isinstance(level, int):
        image.info["transparency"] = level * _GREY_SCALES[raw_mode]
    return image


def to_eight_bits(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """round(v / 257) of 0..65535. The product is that of every level, tested one by one."""
    return ((levels.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def _raw_mode(image: ImageFile) -> str:
    """How a PNG's bytes are laid out; empty for other kinds, whose decoders know it themselves."""
    if image.format != "PNG" or not image.tile:
        return ""
    # By place: before Pillow 11 these were plain tuples.
    args: object = image.tile[0][3]
    return args if isinstance(args, str) else ""


def _with_raw_mode(image: ImageFile, raw_mode: str) -> Image.Image:
    raw: Any = image
    raw.tile = [
        tile._replace(args=raw_mode) if hasattr(tile, "_replace") else (*tile[:3], raw_mode) for tile in raw.tile
    ]
    image.load()
    return image


def _strips(height: int) -> list[tuple[int, int]]:
    return [(start, min(start + _STRIP_ROWS, height)) for start in range(0, height, _STRIP_ROWS)]


def _part(image: Image.Image, start: int, stop: int) -> NDArray[Any]:
    return np.asarray(image.crop((0, start, image.width, stop)))


def _deep_colour(image: ImageFile, again: ImageFile, raw_mode: str) -> Image.Image:
    """Decoded twice: read as big-endian Pillow keeps each level's upper byte, read as little-endian its lower one."""
    upper = _with_raw_mode(image, raw_mode)
    lower = _with_raw_mode(again, raw_mode.replace("16B", "16L"))
    transparent: Any = upper.info.get("transparency")
    keyed = upper.mode == "RGB" and isinstance(transparent, tuple)
    out = np.empty((upper.height, upper.width, 4 if keyed else len(upper.mode)), np.uint8)
    for start, stop in _strips(upper.height):
        levels = _joined(_part(upper, start, stop), _part(lower, start, stop))
        out[start:stop, :, : levels.shape[2]] = to_eight_bits(levels)
        if keyed:
            opaque = (levels != np.array(transparent, np.uint16)).any(axis=2)
            out[start:stop, :, 3] = np.where(opaque, 255, 0)
    return _keeping_exif(Image.fromarray(out), upper)


def _deep_grey_alpha(image: ImageFile) -> Image.Image:
    """Grey and alpha of 16 bits are four bytes a pixel, which Pillow hands over as they are when told they are RGBA."""
    pairs = _with_raw_mode(image, "RGBA")
    out = np.empty((pairs.height, pairs.width, 2), np.uint8)
    for start, stop in _strips(pairs.height):
        part = _part(pairs, start, stop)
        out[start:stop] = to_eight_bits(_joined(part[:, :, 0::2], part[:, :, 1::2]))
    return _keeping_exif(Image.fromarray(out), pairs)


def _deep_grey(image: Image.Image) -> Image.Image:
    transparent: Any = image.info.get("transparency")
    keyed = isinstance(transparent, int)
    out = np.empty((image.height, image.width, 2 if keyed else 1), np.uint8)
    for start, stop in _strips(image.height):
        levels = np.clip(_part(image, start, stop), 0, 65535).astype(np.uint16)
        out[start:stop, :, 0] = to_eight_bits(levels)
        if keyed:
            out[start:stop, :, 1] = np.where(levels != transparent, 255, 0)
    return _keeping_exif(Image.fromarray(out if keyed else out[:, :, 0]), image)


def _joined(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    levels = upper.astype(np.uint16)
    np.left_shift(levels, 8, out=levels)
    np.bitwise_or(levels, lower, out=levels)
    return levels


def _keeping_exif(image: Image.Image, original: Image.Image) -> Image.Image:
    if "exif" in original.info:
        image.info["exif"] = original.info["exif"]
    return image
