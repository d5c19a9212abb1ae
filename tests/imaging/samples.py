"""Images to test with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def photo(height: int, width: int, channels: int = 3, noise: float = 3.0, seed: int = 1) -> NDArray[np.uint8]:
    """Soft shapes and some noise, [H,W,C]: compresses about as a photograph does."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    layers = [
        128 + 90 * np.sin(across / (31 + 7 * c) + c) * np.cos(down / (43 - 5 * c)) + rng.normal(0, noise, down.shape)
        for c in range(channels)
    ]
    return np.clip(np.rint(np.stack(layers, axis=-1)), 0, 255).astype(np.uint8)


def drawing(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Flat colours and sharp lines, [H,W,C], that repeat."""
    down, across = np.mgrid[0:height, 0:width]
    tile = ((down // 8 + across // 8) % 5 * 50).astype(np.uint8)
    return np.repeat(tile[:, :, np.newaxis], channels, axis=2)
