"""Small images to look at, made in a few milliseconds whatever the image's size."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_QUALITY = 82


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
    """`rgb` [H,W,3] over a middle gray where `alpha` [H,W] (255 opaque) lets it through; both uint8."""
    weight = alpha[..., None].astype(np.uint16)
    return ((rgb * weight + 128 * (255 - weight)) // 255).astype(np.uint8)


def jpeg(small: Image.Image) -> bytes:
    """The file of a thumbnail."""
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
