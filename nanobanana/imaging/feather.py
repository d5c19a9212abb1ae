"""Soft edges inside a mask: the answer fades in from the mask's border inward, and never reaches across it."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8]

# Four pixels at 1K, twelve from 3K on: enough to hide a seam, little enough to keep a small edit whole.
_SIDE_PER_PIXEL = 256
_LEAST, _MOST = 2, 12


def feather_width(height: int, width: int) -> int:
    """Over how many pixels the answer fades in, for an image of this size."""
    return int(min(max(round(max(height, width) / _SIDE_PER_PIXEL), _LEAST), _MOST))


def feather_weights(mask: Levels) -> NDArray[np.float32]:
    """[H,W] float32 for a [H,W] uint8 mask: exactly 0 where the mask is 0, and times mask / 255 elsewhere.

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
    # Where the mask is 0 the depth is: 0 / 1 there.
    np.divide(depth, np.maximum(reached, 1), out=weights[box], dtype=np.float32)
    weights[box] *= inside / np.float32(255)
    return weights


def _depth(inside: Levels, most: int) -> Levels:
    """How often the 0/1 mask can be eroded before a pixel is gone, up to `most`: about its distance to the border."""
    depth: Levels = np.array(inside)
    left = inside
    for step in range(most - 1):
        left = _with_neighbours(left, np.minimum, diagonal=step % 2 == 1)
        depth += left
    return depth


def _spread(depth: Levels, distance: int) -> Levels:
    """The greatest depth within `distance` pixels."""
    for step in range(distance):
        depth = _with_neighbours(depth, np.maximum, diagonal=step % 2 == 1)
    return depth


def _with_neighbours(levels: Levels, choose: np.ufunc, *, diagonal: bool) -> Levels:
    """Each pixel with `choose` over itself and its 4 neighbours, or 8 with `diagonal`: in turn they make a circle."""
    out: Levels = np.array(levels)
    choose(out[1:], levels[:-1], out=out[1:])
    choose(out[:-1], levels[1:], out=out[:-1])
    # What is chosen from sideways holds the rows above and below already, or not.
    beside: Levels = np.array(out) if diagonal else levels
    choose(out[:, 1:], beside[:, :-1], out=out[:, 1:])
    choose(out[:, :-1], beside[:, 1:], out=out[:, :-1])
    return out
