"""A name for an image's pixels: the same pixels give the same name, whatever tensor holds them."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Protocol, runtime_checkable

from ..cancel import CancelToken
from .sources import PaddedSource, PixelSource, strip_rows
from .workers import core_count, run_all

# Fixed, for the strips are part of the name.
_STRIP_BYTES = 1 << 20
_SIZE = 20


@runtime_checkable
class DigestedSource(Protocol):
    """A source that can tell its digest by itself, as `pixel_digest` would give it, at less cost."""

    def digest(self, cancel: CancelToken, workers: int) -> str: ...


def digest(source: PixelSource, *, cancel: CancelToken | None = None, workers: int | None = None) -> str:
    """40 hexadecimal characters that name the shape and the 8-bit pixels of `source`.

    Raises what `source.rows` raises, and `Cancelled`.
    """
    cancel, workers = cancel or CancelToken(), core_count() if workers is None else workers
    if isinstance(source, PaddedSource):
        # What is around the image follows from the image.
        inner = digest(source.source, cancel=cancel, workers=workers)
        return hashlib.blake2b(f"{inner} within {source.padding}".encode(), digest_size=_SIZE).hexdigest()
    if isinstance(source, DigestedSource):
        return source.digest(cancel, workers)
    return pixel_digest(source, cancel, workers)


def pixel_digest(source: PixelSource, cancel: CancelToken, workers: int) -> str:
    """The digest from the pixels: strips of about 1 MiB are named on several cores, then the list of names is.

    48 MB of pixels from a float32 tensor take about 0.08 s on two cores.
    """
    rows = strip_rows(source.width, source.channels, _STRIP_BYTES)
    starts = range(0, source.height, rows)
    jobs = [partial(_strip, source, start, min(start + rows, source.height)) for start in starts]
    state = hashlib.blake2b(f"{source.height}x{source.width}x{source.channels}:".encode(), digest_size=_SIZE)
    for name in run_all(jobs, workers, cancel):
        state.update(name)
    return state.hexdigest()


def _strip(source: PixelSource, start: int, stop: int) -> bytes:
    return hashlib.blake2b(source.rows(start, stop).data, digest_size=_SIZE).digest()
