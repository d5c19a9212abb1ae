"""What a call reports while it runs: one small value, overwritten by the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "queued",
    "preparing",
    "connecting",
    "uploading",
    "waiting",
    "streaming",
    "downloading",
    "pausing",
    "done",
    "failed",
]


@dataclass(frozen=True)
class Progress:
    """`done` of `total` are bytes while uploading and downloading, a place in the queue while queued.

    `total` is 0 if it isn't known. `text` holds the model's own words, or what a pause waits for.
    `until` is the end of a pause, in seconds of the monotonic clock.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    text: str = ""
    until: float = 0.0


ReportProgress = Callable[[Progress], None]
