"""IMAGE and MASK tensors to 8-bit pixels and back. The only module that imports torch.

Out: level round(255 x) of the float32 value x, halves to even, clamped to 0..255. In: level v is the float32
nearest to v / 255. One is the other's inverse: a level that comes in goes out the same.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..nanobanana.errors import InputError
from ..nanobanana.imaging.codec import DecodedImage, to_float
from ..nanobanana.imaging.masking import MaskedEdit, resize_mask
from ..nanobanana.imaging.parallel import images as memory
from ..nanobanana.imaging.parallel import run_all

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]

# Numpy works through a block while it is in the processor's cache.
_BLOCK_VALUES = 1 << 16
_STRIP_VALUES = 1 << 18


class TensorSource:
    """One image of an IMAGE tensor, [H,W,C] of any float type, device and strides, as a `PixelSource`.

    Reads only the rows asked for: an image on a GPU is copied over strip by strip.
    """

    def __init__(self, image: Tensor, name: str) -> None:
        self._image = image.detach()
        self._name = name
        self.height, self.width, self.channels = (int(side) for side in image.shape)

    def rows(self, start: int, stop: int) -> Pixels:
        """[stop - start, W, C] uint8, round(255 x) clamped. Raises `InputError` for NaN and infinity."""
        strip = _float32(self._image[start:stop])
        out = np.empty(strip.shape, np.uint8)
        step = max(1, _BLOCK_VALUES // (self.width * self.channels))
        scratch = np.empty((step, self.width, self.channels), np.float32)
        for first in range(0, len(strip), step):
            block = strip[first : first + step]
            levels = scratch[: len(block)]
            # A NaN comes through both `min` and `max`.
            least, most = block.min(), block.max()
            if not (np.isfinite(least) and np.isfinite(most)):
                raise InputError(
                    f"{self._name} holds values that are no numbers (NaN or infinity).",
                    "The node that made it went wrong: look at its settings, often its precision (fp16) or its VAE.",
                )
            if least < 0 or most > 1:
                np.clip(block, 0, 1, out=levels)
                block = levels
            np.multiply(block, np.float32(255), out=levels)
            np.rint(levels, out=levels)
            np.copyto(out[first : first + step], levels, casting="unsafe")
        return out


def sources(image: Tensor, first: int = 1) -> list[TensorSource]:
    """One source for each image of an IMAGE [B,H,W,C], C of 1, 3 or 4. `first`: the first one's number, in errors.

    Raises `InputError` for anything else, an empty image included. NaN is found when rows are read.
    """
    if image.ndim != 4:
        raise InputError(
            f"Image {first} is not an IMAGE: expected [batch, height, width, channels], got {list(image.shape)}."
        )
    if image.shape[3] not in (1, 3, 4):
        raise InputError(f"Image {first} has {image.shape[3]} channels; 1, 3 or 4 can be sent.")
    if 0 in image.shape:
        raise InputError(f"Image {first} is empty: its shape is {list(image.shape)}.")
    if not image.is_floating_point():
        raise InputError(f"Image {first} holds {image.dtype}, not numbers from 0 to 1.")
    return [TensorSource(one, f"Image {first + number}") for number, one in enumerate(image)]


def to_image(image: DecodedImage) -> Tensor:
    """An image as an IMAGE [1,H,W,3], float32, each level v exactly float32(v) / 255.

    If the image has `as_float`, the tensor is that memory.
    """
    pixels = image.as_float
    if pixels is None:
        pixels = memory.empty(image.rgb.shape, np.float32)
        _fill(image.rgb, pixels)
    return torch.from_numpy(pixels[np.newaxis])


def to_mask(alpha: Pixels | None, height: int, width: int) -> Tensor:
    """[H,W] uint8 alpha as a MASK [1,H,W], 1 - alpha / 255; zeros if there is no alpha."""
    if alpha is None:
        # Numpy's zeros cost nothing until they are read.
        return torch.from_numpy(np.zeros((1, height, width), np.float32))
    out = np.empty((1, height, width), np.float32)
    _fill(alpha, out[0])
    np.subtract(np.float32(1), out, out=out)
    return torch.from_numpy(out)


def image_and_mask(image: DecodedImage) -> tuple[Tensor, Tensor]:
    """IMAGE [1,H,W,3] and MASK [1,H,W] of a decoded image."""
    return to_image(image), to_mask(image.alpha, image.height, image.width)


def inside_mask(original: Tensor, edit: MaskedEdit) -> Callable[[DecodedImage], tuple[Tensor, Tensor]]:
    """How an answer becomes IMAGE and MASK: its pixels go into the first image of `original` where the mask allows."""

    def convert(answer: DecodedImage) -> tuple[Tensor, Tensor]:
        result = composite(original, edit.weights(), edit.fitted(answer))
        return result, to_mask(None, result.shape[1], result.shape[2])

    return convert


def levels(image: Tensor) -> Pixels:
    """The first image of an IMAGE [B,H,W,C] as [H,W,3] uint8."""
    return TensorSource(image[0], "The image").rows(0, int(image.shape[1]))[:, :, :3]


def mask_array(mask: Tensor, height: int, width: int) -> Pixels | None:
    """The mask of a MASK [B,H,W] or [H,W] as [height,width] uint8, resized; None if it marks nothing.

    Raises `InputError` for other shapes, NaN and infinity, and for several masks of which another than the first one
    marks something.
    """
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise InputError(f"The mask is not a MASK: expected [batch, height, width], got {list(mask.shape)}.")
    one = mask[0] if mask.ndim == 3 else mask
    if mask.ndim == 3 and bool(mask[1:].any()):
        raise InputError(
            f"The MASK holds {len(mask)} masks, and an edit takes one, which belongs to the first image.",
            "Take one mask out of the batch; or, to edit each image with its own mask, turn the images and the masks"
            " into lists, so that the node runs once for each.",
        )
    levels = TensorSource(one.unsqueeze(-1), "The mask").rows(0, int(one.shape[0]))[:, :, 0]
    return resize_mask(levels, height, width) if levels.any() else None


def composite(image: Tensor, weights: NDArray[np.float32], fitted: Pixels) -> Tensor:
    """The image [H,W,C] or [1,H,W,C] with `fitted` [H,W,3] uint8 laid over it by `weights` [H,W]: [1,H,W,3] float32.

    Where the weight is 0, the result holds the very bits of the input (widened to float32, grey spread over three
    channels, alpha left out).
    """
    original = (image[0] if image.ndim == 4 else image).detach()
    height, width = weights.shape
    out = np.empty((1, height, width, 3), np.float32)

    def strip(start: int, stop: int) -> None:
        before, after = _float32(original[start:stop])[:, :, :3], out[0, start:stop]
        weight = weights[start:stop, :, np.newaxis]
        if not weight.any():
            after[:] = before
            return
        np.divide(fitted[start:stop], np.float32(255), out=after)
        # before * (1 - weight) + after * weight, exactly `after` where the weight is 1.
        after *= weight
        after += before * (1 - weight)
        # Copied bit by bit, -0.0 and denormals included.
        np.copyto(after, before, where=weight == 0)

    _for_strips(height, width * 3, strip)
    return torch.from_numpy(out)


def _float32(strip: Tensor) -> NDArray[np.float32]:
    """A view if the memory is float32 already, else a copy of the strip."""
    array: Any = strip.to(device="cpu", dtype=torch.float32).numpy()
    return array


def _fill(levels: Pixels, out: NDArray[np.float32]) -> None:
    def strip(start: int, stop: int) -> None:
        to_float(levels[start:stop], out[start:stop])

    _for_strips(len(levels), levels[0].size, strip)


def _for_strips(height: int, row_values: int, work: Callable[[int, int], None]) -> None:
    rows = max(1, _STRIP_VALUES // row_values)
    jobs = [partial(work, start, min(start + rows, height)) for start in range(0, height, rows)]
    run_all(jobs)
