"""What the simulator has seen: one entry a request, safe to read from any thread while requests are under way.

Times are `time.monotonic()` seconds, so that a test can subtract its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST_ENTRIES = 20_000


@dataclass
class Request:
    """One request of any kind. `closed_early` is when the client was seen to hang up before its answer was complete."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    arrived: float
    connection: int
    status: int | None = None
    closed_early: float | None = None
    finished: float | None = None
    sent_bytes: int = 0

    def header(self, name: str) -> str | None:
        """The header's value, found without regard to case; None where it was not sent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass
class Post(Request):
    """One `POST /v1/chat/completions`.

    `billed` is what a gateway of the worst kind would do: true once the request was accepted and work began, whatever
    happened to the connection afterwards.
    """

    request_id: str = ""
    body_length: int = 0
    body_received: float | None = None
    body: dict[str, object] | None = None
    prompt: str = ""
    model: str = ""
    input_images: int = 0
    faults: tuple[str, ...] = ()
    billed: bool = False
    redirected: bool = False
    rejected: str | None = None
    image_urls: tuple[str, ...] = ()


@dataclass
class Download(Request):
    """One `GET` of a result URL. `violations` names what should not have been sent with it."""

    violations: tuple[str, ...] = ()
    decoy: bool = False
    complete: bool = False


@dataclass
class Ledger:
    """Every request received, in order of arrival; of more than 20,000 the newest."""

    _requests: list[Request] = field(default_factory=list[Request])
    _received: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def post(self, method: str, path: str, headers: dict[str, str], connection: int, request_id: str) -> Post:
        """Enter a new POST."""
        with self._changed:
            entry = Post(self._received + 1, method, path, headers, time.monotonic(), connection)
            entry.request_id = request_id
            self._enter(entry)
        return entry

    def download(self, method: str, path: str, headers: dict[str, str], connection: int) -> Download:
        """Enter a new GET of a result URL."""
        with self._changed:
            entry = Download(self._received + 1, method, path, headers, time.monotonic(), connection)
            self._enter(entry)
        return entry

    def other(self, method: str, path: str, headers: dict[str, str], connection: int) -> Request:
        """Enter any other request: the list of models, an unknown path."""
        with self._changed:
            entry = Request(self._received + 1, method, path, headers, time.monotonic(), connection)
            self._enter(entry)
        return entry

    def _enter(self, entry: Request) -> None:
        self._received += 1
        self._requests.append(entry)
        # A simulator that runs for days must not grow for ever.
        if len(self._requests) > _MOST_ENTRIES:
            del self._requests[: _MOST_ENTRIES // 10]
        self._changed.notify_all()

    def note(self, entry: Request, **changes: object) -> None:
        """Set attributes of an entry and wake whoever waits for them."""
        with self._changed:
            for name, value in changes.items():
                if not hasattr(entry, name):
                    raise AttributeError(name)
                setattr(entry, name, value)
            self._changed.notify_all()

    @property
    def requests(self) -> list[Request]:
        with self._changed:
            return list(self._requests)

    @property
    def posts(self) -> list[Post]:
        return [entry for entry in self.requests if isinstance(entry, Post)]

    @property
    def billed(self) -> list[Post]:
        return [entry for entry in self.posts if entry.billed]

    @property
    def downloads(self) -> list[Download]:
        return [entry for entry in self.requests if isinstance(entry, Download)]

    @property
    def violations(self) -> list[str]:
        """What clients must never send, and sent: a key or a cookie with a download, a download of an interim draft."""
        return [f"{entry.path}: {text}" for entry in self.downloads for text in entry.violations]

    def wait_for(self, predicate: Callable[[Ledger], object], timeout: float = 5.0) -> bool:
        """Wait until `predicate(ledger)` is true, at most `timeout` seconds; says whether it became so."""
        deadline = time.monotonic() + timeout
        while not predicate(self):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.05))
        return True

    def clear(self) -> None:
        """Forget every request."""
        with self._changed:
            self._requests.clear()
            self._changed.notify_all()

    def summary(self) -> dict[str, object]:
        """A JSON-ready account without headers or bodies, as `GET /ledger` serves it."""
        return {
            "posts": len(self.posts),
            "billed": len(self.billed),
            "downloads": len(self.downloads),
            "violations": self.violations,
            "calls": [
                {
                    "request_id": post.request_id,
                    "model": post.model,
                    "prompt": post.prompt,
                    "input_pictures": post.input_images,
                    "status": post.status,
                    "billed": post.billed,
                    "closed_early": post.closed_early is not None,
                    "faults": list(post.faults),
                }
                for post in self.posts
            ],
        }
