"""How long the pauses are: one value that everything gets which waits before it tries again."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import GatewayError
from .retry import delay, download_delay


@dataclass(frozen=True)
class Backoff:
    """`random` gives 0.0 up to 1.0. `idle_seconds` is the longest silence of a download before it is tried again.

    `after_image_seconds` is how long a stream may be silent that has brought an image and doesn't end.
    `scale` shortens what we choose ourselves, for tests; what a gateway asks for is waited for as it is.
    """

    random: Callable[[], float] = random_module.random
    scale: float = 1.0
    idle_seconds: float = 60.0
    after_image_seconds: float = 20.0

    def before_post(self, error: GatewayError, attempt: int) -> float:
        """Seconds before POST number `attempt` + 1, after `error`."""
        asked = getattr(error, "retry_after", None)
        return delay(error, attempt, self.random) * (1.0 if asked else self.scale)

    def before_download(self, attempt: int) -> float:
        """Seconds before download number `attempt` + 1."""
        return download_delay(attempt, self.random) * self.scale
