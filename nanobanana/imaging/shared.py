"""Results that several calls need at once: made by the first, waited for by the others, kept while they fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..cancel import Cancelled, CancelToken

T = TypeVar("T")

_POLL_SECONDS = 0.05


class _Pending(Generic[T]):
    """A result being made. `made` holds it once `done` is set, or nothing where `error` says why there is none."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.made: list[T] = []
        self.error: BaseException | None = None


class SharedResults(Generic[T]):
    """Values by key, least recently used ones dropped once their weights add up to more than `most`. Thread-safe."""

    def __init__(self, most: int, weight: Callable[[T], int]) -> None:
        self._most = most
        self._weight = weight
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._pending: dict[Hashable, _Pending[T]] = {}
        self._total = 0

    def get(
        self,
        key: Hashable,
        make: Callable[[], T],
        cancel: CancelToken,
        *,
        is_valid: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """The value of `key`, from `make` where nobody has made it yet, or where `is_valid` says no to what is kept.

        Whoever comes while it is being made waits for it. An error of `make` is raised to everyone who waited, but
        for a cancel: that one was the maker's alone, and one of those who waited makes it instead.
        """
        while True:
            with self._lock:
                if key in self._kept and is_valid(self._kept[key]):
                    self._kept.move_to_end(key)
                    return self._kept[key]
                pending = self._pending.get(key)
                if pending is None:
                    mine = self._pending[key] = _Pending[T]()
                    break
            while not pending.done.wait(_POLL_SECONDS):
                cancel.check()
            if pending.made and is_valid(pending.made[0]):
                return pending.made[0]
            if pending.error is not None and not isinstance(pending.error, Cancelled):
                raise pending.error
        return self._made(key, mine, make)

    def clear(self) -> None:
        """Forget everything kept."""
        with self._lock:
            self._kept.clear()
            self._total = 0

    def _made(self, key: Hashable, mine: _Pending[T], make: Callable[[], T]) -> T:
        try:
            value = make()
            mine.made.append(value)
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._pending[key]
                for made in mine.made:
                    self._keep(key, made)
            mine.done.set()
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        if key in self._kept:
            self._total -= self._weight(self._kept.pop(key))
        weight = self._weight(value)
        if weight > self._most:
            return
        self._kept[key] = value
        self._total += weight
        while self._total > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._total -= self._weight(dropped)
