"""A studio over a folder and a gateway, for tests of whole calls: order, wait, look at the outcome."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pack.nanobanana.calls.engine import Call, Engine
from pack.nanobanana.calls.models import Order, Outcome
from pack.nanobanana.cancel import CancelToken
from pack.nanobanana.gateway.retry import Backoff
from pack.nanobanana.image_request import EncodedImage, ImageRequest
from pack.nanobanana.imaging.payload import FittedImages, PayloadLimits
from pack.nanobanana.journal import Journal
from pack.nanobanana.settings.profile import Profile

# Pauses that we choose ourselves take milliseconds; what a gateway asks for is waited for as it is.
QUICK = Backoff(random=lambda: 0.0, scale=0.004, idle_seconds=0.5)
# The smallest images: these tests look at money, rarely at pixels.
MODEL = "NanoBanana2-0.5K"
_REQUEST_FIELDS = {field.name for field in fields(ImageRequest)}


class Bench:
    """One process's studio. A second bench over the same folder is what a restart, or a second ComfyUI, would be."""

    def __init__(
        self, folder: Path, base_url: str, *, backoff: Backoff = QUICK, journal: Journal | None = None, **profile: Any
    ) -> None:
        self.journal = journal or Journal(folder)
        self.engine = Engine(self.journal, backoff=backoff)
        values: dict[str, Any] = {"connect_timeout": 1.0, "total_timeout": 3.0, "api_key": ""}
        self.profile = Profile(base_url=base_url, **{**values, **profile})

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def order(self, prompt: str = "a cat", run: str = "run 1", **changes: Any) -> Order:
        """`changes` may name fields of the order and of its request."""
        asked = {name: changes.pop(name) for name in list(changes) if name in _REQUEST_FIELDS}
        request = replace(ImageRequest(MODEL, prompt, "1:1", "png", 1), **asked)
        return replace(Order(self.profile, request, run), **changes)

    def start(self, prompt: str = "a cat", run: str = "run 1", variation: int = 0, **changes: Any) -> Call:
        cancel = changes.pop("cancel", None) or CancelToken()
        return self.engine.start(self.order(prompt, run, **changes), variation, cancel)

    def make(self, prompt: str = "a cat", run: str = "run 1", variation: int = 0, **changes: Any) -> Outcome:
        return finished(self.start(prompt, run, variation, **changes))

    def states(self) -> list[tuple[str, str]]:
        """(state, billed) of every call in the journal, oldest first."""
        return [(call.state, call.billed) for call in reversed(self.journal.history(limit=500).calls)]


def wait_until(met: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait until `met()` is true; says whether it became so."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def finished(call: Call, seconds: float = 20.0) -> Outcome:
    assert wait_until(lambda: call.done, seconds), f"the call hangs: {call.report}"
    assert call.outcome is not None
    return call.outcome


@lru_cache(maxsize=4)
def png_of(size: int) -> bytes:
    """A PNG file of about `size` bytes: one pixel, and ballast that decoders skip."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = b"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    parts = [chunk(b"IHDR", header), chunk(b"baLt", random.Random(size).randbytes(size))]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts, chunk(b"IDAT", zlib.compress(bytes(4))), chunk(b"IEND", b"")])


class Inputs:
    """Input images of a given size in bytes that need no imaging; `fits` notes every limit they were fitted to."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = sizes or (2000,)
        self.fits: list[PayloadLimits] = []

    def digests(self, cancel: CancelToken) -> list[str]:
        return [f"digest of {size} bytes" for size in self._sizes]

    def fitted(self, limits: PayloadLimits, cancel: CancelToken) -> FittedImages:
        self.fits.append(limits)
        return FittedImages(tuple(EncodedImage(png_of(size), "image/png") for size in self._sizes), ())

    def __len__(self) -> int:
        return len(self._sizes)


@contextmanager
def no_thread_left_behind(seconds: float = 2.0) -> Iterator[None]:
    """At the end no more of our threads run than at the beginning."""

    def ours() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name.startswith("nanobanana-")}

    before = ours()
    yield
    assert wait_until(lambda: ours() <= before, seconds), ours() - before
