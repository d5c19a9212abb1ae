"""Watches the host's cancel flag while calls run, from a thread of its own.

The nodes poll too, but a local node that blocks the loop (a sampler) stops their polling, and may clear the flag
before they see it. The thread sees it within 25 ms either way, so the gateway's connection is closed in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

_PERIOD = 0.025
_TICKS_PER_TEXT = 8


class Watched(Protocol):
    """What is watched: told of a cancel at once, and asked about five times a second to say where it stands."""

    def cancel(self) -> None: ...

    def say(self) -> None: ...


class Watch:
    """A thread that runs while something is watched, and ends when nothing is."""

    def __init__(self, is_interrupted: Callable[[], bool], period: float = _PERIOD) -> None:
        self._is_interrupted = is_interrupted
        self._period = period
        self._lock = threading.Lock()
        self._watched: set[Watched] = set()
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        with self._lock:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nanobanana-watch", daemon=True)
                self._thread.start()

    def remove(self, watched: Watched) -> None:
        with self._lock:
            self._watched.discard(watched)

    def _run(self) -> None:
        tick = 0
        pause = threading.Event()
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                watched = list(self._watched)
            if self._is_interrupted():
                for one in watched:
                    one.cancel()
            elif tick % _TICKS_PER_TEXT == 0:
                for one in watched:
                    one.say()
            tick += 1
            pause.wait(self._period)
