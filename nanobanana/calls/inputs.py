"""The input images of an order, digested once and encoded once for all of its calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..cancel import CancelToken
from ..imaging.digest import digest
from ..imaging.payload import FittedImages, PayloadLimits, fit
from ..imaging.sources import PixelSource

T = TypeVar("T")
_POLL_SECONDS = 0.05


class Once:
    """A value that several threads want and one makes; the others wait, and wake at a cancel.

    A failed attempt is not kept: the next thread tries, and gets the same error if it is one of the input's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def get(self, cancel: CancelToken, made: Callable[[], T | None], make: Callable[[], T]) -> T:
        while not self._lock.acquire(timeout=_POLL_SECONDS):
            cancel.check()
        try:
            found = made()
            return make() if found is None else found
        finally:
            self._lock.release()


class SharedInputs:
    """`sources` in the order in which they are sent. An `InputImages` of the client."""

    def __init__(self, sources: Sequence[PixelSource]) -> None:
        self._sources = tuple(sources)
        self._once = Once()
        self._digests: tuple[str, ...] | None = None
        self._fitted: dict[PayloadLimits, FittedImages] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def digests(self, cancel: CancelToken) -> Sequence[str]:
        return self._once.get(cancel, lambda: self._digests, lambda: self._digest(cancel))

    def _digest(self, cancel: CancelToken) -> tuple[str, ...]:
        found: list[str] = []
        for source in self._sources:
            cancel.check()
            found.append(digest(source))
        self._digests = tuple(found)
        return self._digests

    def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        return self._once.get(cancel, lambda: self._fitted.get(limits), lambda: self._fit(limits, cancel))

    def _fit(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        fitted = fit(self._sources, limits, cancel=cancel, digests=self._digests or ())
        self._fitted[limits] = fitted
        return fitted
