"""What the fake modules and the executor share while a stand-in is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class ExecutingContext(NamedTuple):
    """Which node, and which element of its list, the current code runs for."""

    prompt_id: str
    node_id: str
    list_index: int | None


@dataclass(frozen=True)
class Event:
    """Something the host would send to the browser. `at`: seconds of `time.perf_counter`.

    `kind` is `executing`, `executed`, `progress` (data: value, max) or what a node gave to `send_sync`.
    """

    at: float
    kind: str
    node_id: str
    data: dict[str, Any]


@dataclass
class HostState:
    """Folders, events, the interrupt flag and the executing context of one stand-in."""

    folder: Path
    floor: bool
    interrupt_exception: type[BaseException]
    on_event: Callable[[Event], None] | None = None
    events: list[Event] = field(default_factory=list[Event])
    context: ContextVar[ExecutingContext | None] = field(
        default_factory=lambda: ContextVar("executing_context", default=None)
    )
    _interrupted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def directory(self, name: str) -> Path:
        """The host's folder `name` (`input`, `output`, `temp`, `user`), made when first asked for."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def record(self, kind: str, node_id: str, **data: Any) -> None:
        event = Event(time.perf_counter(), kind, node_id, data)
        with self._lock:
            self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def set_interrupted(self, value: bool) -> None:
        with self._lock:
            self._interrupted = value

    @property
    def interrupted(self) -> bool:
        with self._lock:
            return self._interrupted

    def throw_if_interrupted(self) -> None:
        """As the host's: raising clears the flag, so only the first to ask sees it."""
        with self._lock:
            interrupted, self._interrupted = self._interrupted, False
        if interrupted:
            raise self.interrupt_exception
