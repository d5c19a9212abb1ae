"""8-bit levels as the numbers from 0 to 1 that IMAGE and MASK hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Numpy works through a block while it is in the processor's cache.
_BLOCK_VALUES = 1 << 16


def to_float(levels: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Fill `out` with the float32 nearest to v / 255 of every level v; both [H,W] or [H,W,C] of the same shape."""
    rows = max(1, _BLOCK_VALUES // max(1, levels[0].size))
    for start in range(0, len(levels), rows):
        # A true division: multiplying by 1 / 255 would miss by one bit for some levels.
        np.divide(levels[start : start + rows], np.float32(255), out=out[start : start + rows])
