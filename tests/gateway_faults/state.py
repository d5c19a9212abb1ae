"""What the requests of one faulty gateway share besides a simulator's own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from pack.nanobanana.simulator.state import Settings, State

from .faults import Fault
from .results import ResultStore


class FaultyState(State):
    """`faults` hold for every request; `markers`: whether those in prompts count."""

    results: ResultStore

    def __init__(self, settings: Settings, faults: tuple[Fault, ...], markers: bool) -> None:
        super().__init__(settings)
        self.results = ResultStore()
        self.markers = markers
        self._faults_lock = threading.Lock()
        self._script: deque[tuple[Fault, ...]] = deque()
        self._faults = faults

    def set_faults(self, faults: Sequence[Fault]) -> None:
        """Replace the faults of every request from now on."""
        with self._faults_lock:
            self._faults = tuple(faults)

    def set_script(self, steps: Sequence[tuple[Fault, ...]]) -> None:
        """Replace what remains of the script."""
        with self._faults_lock:
            self._script = deque(steps)

    def next_faults(self) -> tuple[Fault, ...]:
        """The faults of the next POST: those of every request and one step of the script."""
        with self._faults_lock:
            return (*self._faults, *(self._script.popleft() if self._script else ()))

    def standing_faults(self) -> tuple[Fault, ...]:
        """The faults of every request."""
        with self._faults_lock:
            return self._faults
