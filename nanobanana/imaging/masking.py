"""An edit that stays inside a mask: what is sent, and how the answer comes back into the original image.

The model sees the image padded to the ratio it is asked for, so that its answer aligns, and the mask as one more
image. Only pixels that the mask allows are taken from the answer; the others are the original's own bits.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import threading
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..cancel import CancelToken
from ..catalog import ratio_value
from .codec import DecodedImage
from .feather import feather_weights
from .geometry import original_box, pad_to_ratio
from .sources import ArraySource, PaddedSource, Pixels, PixelSource, strip_rows
from .workers import core_count, run_all

_STRIP_BYTES = 1 << 20


class MaskedEdit:
    """`original`: the first input image. `mask`: [H,W] uint8 of its size, 255 may change, 0 must stay.

    `aspect_ratio`: the one sent, such as `16:9`. `mask_number`: which image of the request the mask will be,
    counted from 1 (the last one). Raises `ValueError` where mask and image differ in size.
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
        self.sentence = (
            f"Image {mask_number} is a mask for image 1: change only what is white in it, and leave everything "
            "that is black in it exactly as it is in image 1. The answer is image 1, edited, with the same "
            "framing, position and scale, and without the mask."
        )

    def weights(self) -> NDArray[np.float32]:
        """[H,W] float32 0..1: how much of the answer each pixel takes. Exactly 0 where the mask is 0."""
        # Several answers may come at once: one works it out, the others wait.
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

    def composite(self, answer: DecodedImage) -> Pixels:
        """[H,W,3] uint8: the original with `answer` inside the mask. Where the mask is 0, the original's own levels."""
        fitted, weights = self.fitted(answer), self.weights()
        height, width = weights.shape
        out = np.empty((height, width, 3), np.uint8)
        rows = strip_rows(width, 3, _STRIP_BYTES)

        def strip(start: int) -> None:
            stop = min(start + rows, height)
            # One grey channel spreads over three, a fourth is alpha.
            before = np.broadcast_to(self._original.rows(start, stop)[:, :, :3], (stop - start, width, 3))
            weight = weights[start:stop, :, np.newaxis]
            blend = before * (1 - weight) + fitted[start:stop] * weight
            # In 8 bits too, weight 0 gives back the original's level and weight 1 the answer's.
            out[start:stop] = np.rint(blend)

        run_all([partial(strip, start) for start in range(0, height, rows)], core_count(), CancelToken())
        return out


def resize_mask(mask: Pixels, height: int, width: int) -> Pixels:
    """A [h,w] uint8 mask at another size, with soft edges where pixels don't meet."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))
