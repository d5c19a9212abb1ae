"""What the history holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import Billed
from ..image_request import ImageRequest

State = Literal["asked", "sent", "answered", "kept", "failed"]
What = Literal["ask", "answered", "kept", "failed"]


@dataclass(frozen=True)
class CallKey:
    """One image that is wanted: the request's fingerprint and the number of the variation, 0 and up."""

    fingerprint: str
    variation: int


@dataclass(frozen=True)
class CallDetails:
    """What was asked, for the history. `inputs`: how many images went with it. `cost`: its price if one is set."""

    request: ImageRequest
    dialect: str
    profile: str
    base_url: str
    inputs: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class ImageRecord:
    """One image on disk.

    `id`: opaque, safe in a URL, never reused. `position`: the image's place in its answer, 0 and up. `url`: where it
    came from, empty for an image that came inline. `bytes`: the file's length. `width`, `height`: pixels, None until
    it was decoded.
    """

    id: str
    call_id: int
    position: int
    url: str
    sha256: str
    extension: str
    width: int | None
    height: int | None
    bytes: int
    path: Path


@dataclass(frozen=True)
class CallRecord:
    """One call. Times are Unix seconds, `seconds` is how long it took; None where it did not come so far.

    `error` is empty unless the call failed; `billed` is `no` until something says otherwise.
    """

    id: int
    key: CallKey
    details: CallDetails
    state: State
    run: str
    asked_at: float
    sent_at: float | None = None
    request_id: str = ""
    billed: Billed = "no"
    error: str = ""
    text: str = ""
    urls: tuple[str, ...] = ()
    images: tuple[ImageRecord, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Claim:
    """What a claim found.

    `what`: `kept`, take `record.images` from disk; `answered`, the call is ours: download `record.urls` (those that
    aren't among `record.images` yet); `ask`, the call is ours and on disk as asked: go and send; `failed`, the same
    request failed in this very run and may have been billed: don't send, say `record.error`.
    `earlier`: an older call for the same image that may have been billed and brought none, for the node to mention.
    """

    what: What
    record: CallRecord
    earlier: CallRecord | None = None

    @property
    def owned(self) -> bool:
        """Whether the call is the caller's, to be let go by `kept`, `failed` or `release`."""
        return self.what in ("ask", "answered")


@dataclass(frozen=True)
class HistoryPage:
    """Calls, newest first. `before`: the cursor of the next page, None at the end."""

    calls: tuple[CallRecord, ...]
    before: int | None


@dataclass(frozen=True)
class DayTotal:
    """One day (`2026-01-31`, local time). `cost`: of the billed calls with a price; `maybe_cost`: of those that may
    have been billed. `unpriced`: billed calls whose price isn't known."""

    day: str
    calls: int
    images: int
    billed: int
    maybe_billed: int
    cost: float
    maybe_cost: float
    unpriced: int


@dataclass(frozen=True)
class JournalStats:
    """`bytes`: of the image files on disk, those without a row included. `calls`: how many in each state."""

    calls: Mapping[str, int]
    images: int
    bytes: int
    cap_bytes: int


@dataclass(frozen=True)
class Cleared:
    """How much a clearing or trimming took away."""

    calls: int
    images: int
    bytes: int
