"""An edit that stays inside a mask: what is sent, and how the answer comes back into the original image.

The model sees the image padded to the ratio it is asked for, so its answer aligns, and the mask as one more
image. Only pixels that the mask allows are taken from the answer; the others are the original's own bits.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import re
import threading

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..catalog import ratio_value
from .codec import DecodedImage
from .sources import ArraySource, PaddedSource, Pixels, PixelSource, original_box, pad_to_ratio

# Four pixels at 1K, twelve from 3K on: enough to hide a seam, little enough to keep a small edit whole.
_SIDE_PER_PIXEL = 256
_LEAST, _MOST = 2, 12


_SENTENCE = (
    "Image {number} is a mask for image 1: change only what is white in it, and leave everything that is black in it "
    "exactly as it is in image 1. The answer is image 1, edited, with the same framing, position and scale, and "
    "without the mask."
)
_ADDED = re.compile(r"\n\n" + re.escape(_SENTENCE).replace(r"\{number\}", r"[0-9]{1,3}") + r"\Z")


def without_sentence(prompt: str) -> str:
    """The person's own part of a prompt that was sent with a mask."""
    return _ADDED.sub("", prompt)


class MaskedEdit:
    """`original`: the first input image. `mask`: [H,W] uint8 of its size, 255 may change, 0 must stay.

    `aspect_ratio`: the one sent, such as `16:9`. `mask_number`: which image of the request the mask will be,
    counted from 1 (the last one). Raises `ValueError` if mask and image differ in size.
    """

    def __init__(self, original: PixelSource, mask: Pixels, aspect_ratio: str, mask_number: int = 2) -> None:
        if mask.shape != (original.height, original.width):
            raise ValueError(f"a mask of {mask.shape} for an image of {original.height} x {original.width}")
        self._original = original
        self._mask = mask
        self._lock = threading.Lock()
        self._weights: NDArray[np.float32] | None = None
        self._padding = pad_to_ratio(original.width, original.height, ratio_value(aspect_ratio))
        self.image: PixelSource = PaddedSource(original, self._padding)
        self.mask_image: PixelSource = PaddedSource(ArraySource(mask), self._padding)
        self.sentence = _SENTENCE.format(number=mask_number)

    def weights(self) -> NDArray[np.float32]:
        """[H,W] float32 0..1: how much of the answer each pixel takes. Exactly 0 where the mask is 0."""
        # Several answers may arrive at once: one thread computes it, the others wait.
        with self._lock:
            if self._weights is None:
                self._weights = feather_weights(self._mask)
            return self._weights

    def fitted(self, answer: DecodedImage) -> Pixels:
        """[H,W,3] uint8: the part of `answer` that is the original's, at the original's size."""
        width, height = self._original.width, self._original.height
        box = original_box(width, height, self._padding, answer.width, answer.height)
        if (answer.width, answer.height) == self._padding.padded(width, height):
            left, top = self._padding.left, self._padding.top
            return np.ascontiguousarray(answer.rgb[top : top + height, left : left + width])
        image = Image.fromarray(answer.rgb).resize((width, height), Image.Resampling.LANCZOS, box=box)
        return np.asarray(image)


def resize_mask(mask: Pixels, height: int, width: int) -> Pixels:
    """A [h,w] uint8 mask at another size, its edges softened by the scaling."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))


def feather_width(height: int, width: int) -> int:
    """Over how many pixels the answer fades in, for an image of this size."""
    return int(min(max(round(max(height, width) / _SIDE_PER_PIXEL), _LEAST), _MOST))


def feather_weights(mask: Pixels) -> NDArray[np.float32]:
    """[H,W] float32 for a [H,W] uint8 mask: exactly 0 where the mask is 0, scaled by mask / 255 elsewhere.

    The weight rises with the distance to the nearest pixel of mask 0 and is full at `feather_width`, or, where the
    mask is narrower than that, along its middle: thin strokes are edited too. The image's own border is no edge.
    """
    weights = np.zeros(mask.shape, np.float32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return weights
    width = feather_width(*mask.shape)
    # One pixel around the marked part holds the zeros that limit it.
    box = (
        slice(max(0, rows[0] - 1), rows[-1] + 2),
        slice(max(0, columns[0] - 1), columns[-1] + 2),
    )
    inside = mask[box]
    depth = _depth((inside > 0).astype(np.uint8), width)
    reached = _spread(depth, width)
    # Where the mask is 0 so is the depth: dividing by 1 keeps it 0.
    np.divide(depth, np.maximum(reached, 1), out=weights[box], dtype=np.float32)
    weights[box] *= inside / np.float32(255)
    return weights


def _depth(inside: Pixels, most: int) -> Pixels:
    """How often the 0/1 mask can be eroded before a pixel is gone, up to `most`: about its distance to the border."""
    depth: Pixels = np.array(inside)
    left = inside
    for step in range(most - 1):
        left = _with_neighbours(left, np.minimum, diagonal=step % 2 == 1)
        depth += left
    return depth


def _spread(depth: Pixels, distance: int) -> Pixels:
    """The greatest depth within `distance` pixels."""
    for step in range(distance):
        depth = _with_neighbours(depth, np.maximum, diagonal=step % 2 == 1)
    return depth


def _with_neighbours(levels: Pixels, choose: np.ufunc, *, diagonal: bool) -> Pixels:
    """`choose` over each pixel and its 4 neighbours, or 8 if `diagonal`; alternating the two approximates a circle."""
    out: Pixels = np.array(levels)
    choose(out[1:], levels[:-1], out=out[1:])
    choose(out[:-1], levels[1:], out=out[:-1])
    # For diagonals the sideways step starts from the rows that already hold those above and below.
    beside: Pixels = np.array(out) if diagonal else levels
    choose(out[:, 1:], beside[:, :-1], out=out[:, 1:])
    choose(out[:, :-1], beside[:, 1:], out=out[:, :-1])
    return out
