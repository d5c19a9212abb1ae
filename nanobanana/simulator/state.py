"""What one simulator's requests share: its settings, the ledger, results, the credit."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass

from .ledger import Ledger
from .results import ResultStore


@dataclass(frozen=True)
class Settings:
    """As given to Simulator, which documents them."""

    api_key: str | None
    latency: float
    credit: int | None
    max_body: int | None
    dialect: str
    progress: bool
    keep_bodies: bool


class State:
    """Shared by all connections of one simulator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base_url = ""
        self.ledger = Ledger()
        self.results = ResultStore()
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._credit = settings.credit

    def count(self, *what: str) -> int:
        """How many times this was counted, this time included."""
        with self._lock:
            self._counts[what] += 1
            return self._counts[what]

    def pay(self, images: int) -> bool:
        """Take the price of so many images off the credit; False, and nothing taken, when it does not suffice."""
        with self._lock:
            if self._credit is None:
                return True
            if self._credit < images:
                return False
            self._credit -= images
            return True


def new_request_id() -> str:
    """As relays write them: the time, and something random behind it."""
    now = time.time()
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(now)) + f"{int(now % 1 * 1e9):09d}" + uuid.uuid4().hex[:8]
