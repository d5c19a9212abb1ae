"""Which pages show our own status panel: they get no second text from the host's."""

from __future__ import annotations

import threading

_MOST = 500


class Viewers:
    """The ids of pages that said so, the latest 500. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}

    def add(self, client_id: str) -> None:
        with self._lock:
            self._ids.pop(client_id, None)
            self._ids[client_id] = None
            while len(self._ids) > _MOST:
                self._ids.pop(next(iter(self._ids)))

    def watches(self, client_id: str) -> bool:
        with self._lock:
            return bool(client_id) and client_id in self._ids
