"""Pictures: bytes to 8-bit pixels and back, what fits into a request, and edits that stay inside a mask.

Pillow and numpy only. Pixels come in as a `PixelSource`, whose rows are computed when they are read.
"""

from __future__ import annotations

from .codec import Picture, decode, size_of
from .digest import digest
from .masking import MaskedEdit, resize_mask
from .payload import FittedPictures, PayloadLimits, fit, shrunk
from .sniff import extension, sniff
from .sources import ArraySource, PixelSource

__all__ = [
    "ArraySource",
    "FittedPictures",
    "MaskedEdit",
    "PayloadLimits",
    "Picture",
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
