"""Images: bytes to 8-bit pixels and back, what fits into a request, and edits that stay inside a mask.

Pillow and numpy only. Pixels come in as a `PixelSource`, whose rows are computed when they are read.
"""

from __future__ import annotations

from .codec import DecodedImage, decode, size_of
from .digest import digest
from .masking import MaskedEdit, resize_mask
from .payload import FittedImages, PayloadLimits, fit, shrunk
from .sniff import extension, sniff
from .sources import ArraySource, PixelSource

__all__ = [
    "ArraySource",
    "DecodedImage",
    "FittedImages",
    "MaskedEdit",
    "PayloadLimits",
    "PixelSource",
    "decode",
    "digest",
    "extension",
    "fit",
    "resize_mask",
    "shrunk",
    "size_of",
    "sniff",
]
