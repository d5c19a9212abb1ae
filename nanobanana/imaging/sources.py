"""Where pixels come from: rows of 8-bit levels, computed when they are read and never copied as a whole; geometry."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .parallel import strip_rows

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

# Lanczos looks at three output pixels to either side.
_LANCZOS_SUPPORT = 3
# About this much of a source is held at a time while it is scaled, however small the result.
_READ_BYTES = 1 << 22


@dataclass(frozen=True)
class Padding:
    """Pixels added at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a `width` x `height` image with this padding around it."""
        return width + self.left + self.right, height + self.top + self.bottom


class PixelSource(Protocol):
    """An image of `height` x `width` pixels; `channels` is 1 (grey), 3 (RGB) or 4 (RGB and straight alpha)."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def channels(self) -> int: ...

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows `start` to `stop` (0 <= start < stop <= height) as [stop - start, width, channels] uint8, C-contiguous.

        May be called from several threads at once. Raises `InputError` if the pixels can't be 8-bit values.
        The array may be a view of memory that others read: don't write to it.
        """
        ...


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A uint8 array, [H,W,C] with C of 1, 3 or 4, or [H,W], as a source."""

    array: Pixels

    def __post_init__(self) -> None:
        if self.array.ndim not in (2, 3) or self.channels not in (1, 3, 4) or self.array.size == 0:
            raise ValueError(f"not an image's shape: {self.array.shape}")

    @property
    def height(self) -> int:
        return int(self.array.shape[0])

    @property
    def width(self) -> int:
        return int(self.array.shape[1])

    @property
    def channels(self) -> int:
        return int(self.array.shape[2]) if self.array.ndim == 3 else 1

    def rows(self, start: int, stop: int) -> Pixels:
        return np.ascontiguousarray(self.array[start:stop]).reshape(stop - start, self.width, self.channels)


@dataclass(frozen=True, eq=False)
class OpaqueSource:
    """An RGBA source known to be opaque everywhere, as the RGB image that it is."""

    source: PixelSource

    @property
    def height(self) -> int:
        return self.source.height

    @property
    def width(self) -> int:
        return self.source.width

    @property
    def channels(self) -> int:
        return 3

    def rows(self, start: int, stop: int) -> Pixels:
        return np.ascontiguousarray(self.source.rows(start, stop)[:, :, :3])


@dataclass(frozen=True, eq=False)
class PaddedSource:
    """A source with its border pixels repeated outward: the least conspicuous filling for a model that sees it."""

    source: PixelSource
    padding: Padding

    @property
    def height(self) -> int:
        return self.source.height + self.padding.top + self.padding.bottom

    @property
    def width(self) -> int:
        return self.source.width + self.padding.left + self.padding.right

    @property
    def channels(self) -> int:
        return self.source.channels

    def rows(self, start: int, stop: int) -> Pixels:
        first = min(max(start - self.padding.top, 0), self.source.height - 1)
        last = min(max(stop - 1 - self.padding.top, 0), self.source.height - 1)
        inner = self.source.rows(first, last + 1)
        index = np.clip(np.arange(start, stop) - self.padding.top, first, last) - first
        columns = (self.padding.left, self.padding.right)
        return np.ascontiguousarray(np.pad(inner[index], ((0, 0), columns, (0, 0)), mode="edge"))


@dataclass(frozen=True, eq=False)
class ScaledSource:
    """A source scaled down to `height` x `width` with Lanczos, strip by strip: the whole is never held.

    Each strip reads the rows that its filter reaches, so the result is the same as scaling the whole at once.
    """

    source: PixelSource
    height: int
    width: int

    @property
    def channels(self) -> int:
        return self.source.channels

    def rows(self, start: int, stop: int) -> Pixels:
        read = strip_rows(self.source.width, self.channels, _READ_BYTES)
        step = max(1, int(read * self.height / self.source.height))
        parts = [self._part(first, min(first + step, stop)) for first in range(start, stop, step)]
        return np.concatenate(parts)

    def _part(self, start: int, stop: int) -> Pixels:
        scale = self.source.height / self.height
        reach = _LANCZOS_SUPPORT * max(scale, 1.0) + 1
        first = max(0, int(start * scale - reach))
        last = min(self.source.height, int(stop * scale + reach) + 1)
        image = to_pillow(self.source.rows(first, last))
        box = (0.0, start * scale - first, float(self.source.width), min(stop * scale - first, float(last - first)))
        scaled = image.resize((self.width, stop - start), Image.Resampling.LANCZOS, box=box)
        return np.asarray(scaled).reshape(stop - start, self.width, self.channels)


def to_pillow(pixels: Pixels) -> Image.Image:
    """[H,W,C] uint8 with C of 1, 3 or 4 as a Pillow image of mode L, RGB or RGBA."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def pad_to_ratio(width: int, height: int, ratio: float) -> Padding:
    """The least padding, even on both sides, that gives `width` x `height` pixels the `ratio` (width / height).

    The padded ratio is the nearest that whole pixels allow.
    """
    if width / height < ratio:
        extra = max(0, round(height * ratio) - width)
        return Padding(left=extra // 2, right=extra - extra // 2)
    extra = max(0, round(width / ratio) - height)
    return Padding(top=extra // 2, bottom=extra - extra // 2)


def original_box(width: int, height: int, padding: Padding, answer_width: int, answer_height: int) -> Box:
    """Where a `width` x `height` original lies in an answer to its padded image: (left, top, right, bottom).

    In pixels of the answer, fractions included. An answer whose ratio isn't the padded image's is taken to be that
    image stretched: what lies a third of the way across one lies a third of the way across the other.
    """
    padded_width, padded_height = padding.padded(width, height)
    across, down = answer_width / padded_width, answer_height / padded_height
    return (
        padding.left * across,
        padding.top * down,
        answer_width - padding.right * across,
        answer_height - padding.bottom * down,
    )


def scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    """(width, height) times `factor`, rounded, at least one pixel each."""
    return max(1, round(width * factor)), max(1, round(height * factor))
