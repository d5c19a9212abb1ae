"""The input images of an order, hashed once and encoded once for all of its calls."""

from __future__ import annotations

from collections.abc import Sequence

from ..cancel import CancelToken
from ..imaging.digest import digest
from ..imaging.parallel import SingleFlight
from ..imaging.payload import FittedImages, PayloadLimits, fit
from ..imaging.sources import PixelSource


class InputImages:
    """`sources` in the order in which they are sent. May be used from several threads at a time.

    Both methods may raise `InputError` for pixels that aren't numbers, and `Cancelled`.
    """

    def __init__(self, sources: Sequence[PixelSource]) -> None:
        self._sources = tuple(sources)
        self._digests: SingleFlight[tuple[str, ...]] = SingleFlight(1)

    def __len__(self) -> int:
        """How many images are sent."""
        return len(self._sources)

    def digests(self, cancel: CancelToken) -> tuple[str, ...]:
        """One digest an image, mask included: everything about the images that shapes the answer."""
        return self._digests.get("", lambda: tuple(digest(one, cancel=cancel) for one in self._sources), cancel)

    def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        """The images as files that fit into `limits`."""
        return fit(self._sources, limits, cancel=cancel, digests=self.digests(cancel))
