"""Calls to a gateway for the tests of the client: a body, what was reported, an answer to give."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.gateway.answer.types import Answer
from pack.nanobanana.gateway.client import Callbacks, Gateway
from pack.nanobanana.gateway.request_body import RequestBody
from pack.nanobanana.gateway.retry import Backoff
from pack.nanobanana.image_request import EncodedImage, ImageRequest
from pack.nanobanana.progress import Progress
from pack.nanobanana.settings.profile import Profile

KEY = "sk-planted-7f3a9c2e5b8d1f4a6c0e"
URL = "https://cdn.example/1.png"


def request_body(image_bytes: int = 0) -> RequestBody:
    images = (EncodedImage(os.urandom(image_bytes), "image/png"),) if image_bytes else ()
    return RequestBody(ImageRequest("NanoBananaPro-1K", "a cat", "1:1", "png"), images, Profile())


def event(url: str = URL) -> bytes:
    """The documented chunk as an event."""
    chunk: dict[str, Any] = {
        "id": "chatcmpl_1",
        "object": "chat.completion.chunk",
        "model": "NanoBananaPro-8K",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": url}, "finish_reason": "stop"}],
        "media": {"outputs": [url]},
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@dataclass
class RunningAsk:
    """One call, and when (monotonic seconds) it said what. Run it with `run`, or beside the test with `started`."""

    profile: Profile
    image_bytes: int = 0
    cancel: CancelToken = field(default_factory=CancelToken)
    reports: list[tuple[float, Progress]] = field(default_factory=list)
    urls: list[tuple[float, str]] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    on_sending: Callable[[], None] = lambda: None
    backoff: Backoff = field(default_factory=Backoff)
    result: Answer | None = None
    error: BaseException | None = None
    began: float = 0.0
    ended: float = 0.0

    def run(self) -> Answer:
        self.began = time.monotonic()
        try:
            return Gateway(self.profile, self.backoff).ask(
                request_body(self.image_bytes),
                cancel=self.cancel,
                callbacks=Callbacks(on_sending=self._sending, on_url=self._url, report=self._report),
            )
        finally:
            self.ended = time.monotonic()

    @contextmanager
    def started(self) -> Iterator[threading.Thread]:
        def run() -> None:
            try:
                self.result = self.run()
            except (Exception, Cancelled) as error:  # noqa: BLE001
                self.error = error

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield thread
        thread.join(10)
        assert not thread.is_alive()

    def fails(self, kind: type[BaseException]) -> Any:
        with pytest.raises(kind) as caught:
            self.run()
        return caught.value

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def phases(self) -> list[str]:
        """The phases in order, each once."""
        return list(dict.fromkeys(report.phase for _, report in self.reports))

    def wait_for_phase(self, phase: str, seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not any(report.phase == phase for _, report in self.reports):
            assert time.monotonic() < end, f"{phase} was not reached: {self.reports}"
            time.sleep(0.005)

    def _sending(self) -> None:
        self.sent.append(time.monotonic())
        self.on_sending()

    def _url(self, url: str) -> None:
        self.urls.append((time.monotonic(), url))

    def _report(self, report: Progress) -> None:
        self.reports.append((time.monotonic(), report))
