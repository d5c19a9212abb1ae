"""What image work shares: cores, results that several calls need, and memory.

Memory that nobody holds any more is used again: fresh pages can cost more time than what is put into them. And it is
bounded for images that nobody asked for.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..cancel import Cancelled, CancelToken

T = TypeVar("T")

_POLL_SECONDS = 0.05


def core_count() -> int:
    """Cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Run(Generic[T]):
    """One list of jobs shared by several threads, first come first served."""

    def __init__(self, jobs: Sequence[Callable[[], T]], cancel: CancelToken | None) -> None:
        self._jobs = jobs
        self._cancel = cancel
        self._lock = threading.Lock()
        self._next = 0
        self.results: dict[int, T] = {}
        self.error: BaseException | None = None

    def _take(self) -> int | None:
        with self._lock:
            if self.error is not None or self._next == len(self._jobs):
                return None
            self._next += 1
            return self._next - 1

    def work(self) -> None:
        """Do jobs until none is left or one has failed; the first failure is kept for the caller."""
        while (number := self._take()) is not None:
            try:
                if self._cancel is not None:
                    self._cancel.check()
                self.results[number] = self._jobs[number]()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that called run_all
                with self._lock:
                    if self.error is None:
                        self.error = error


def run_all(
    jobs: Sequence[Callable[[], T]], *, workers: int | None = None, cancel: CancelToken | None = None
) -> list[T]:
    """The results of `jobs` in order, done by the calling thread and up to `workers` - 1 others (default: all cores).

    Jobs start in order. The first exception of any job (or `Cancelled`) stops the rest and is raised here. All
    threads have ended when this returns or raises.
    """
    run = _Run(jobs, cancel)
    threads = [
        threading.Thread(target=run.work, name="nanobanana-imaging", daemon=True)
        for _ in range(min(workers or core_count(), len(jobs)) - 1)
    ]
    started = [thread for thread in threads if _could_start(thread)]
    run.work()
    for thread in started:
        thread.join()
    if run.error is not None:
        raise run.error
    return [run.results[number] for number in range(len(jobs))]


def _could_start(thread: threading.Thread) -> bool:
    """Start `thread`; False if the system has none left: then its caller does the work."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def strip_rows(width: int, channels: int, strip_bytes: int, multiple: int = 1) -> int:
    """How many rows make up about `strip_bytes` of pixels: a multiple of `multiple`, at least one of it."""
    rows = strip_bytes // (width * channels)
    return max(multiple, rows - rows % multiple)


class Background(Generic[T]):
    """A job that runs beside its caller, in a thread of its own."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._run = _Run([job], None)
        self._thread = threading.Thread(target=self._run.work, name="nanobanana-background", daemon=True)
        self._started = _could_start(self._thread)

    def result(self) -> T:
        """What the job returned, when it has ended. Raises what it raised."""
        if self._started:
            self._thread.join()
        else:
            self._run.work()
        if self._run.error is not None:
            raise self._run.error
        return self._run.results[0]


class _Pending(Generic[T]):
    """A result being made. Once `done` is set, `made` holds it, or is empty and `error` says why."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.made: list[T] = []
        self.error: BaseException | None = None


class SingleFlight(Generic[T]):
    """Values by key, each made once; the least recently used are dropped once their weights exceed `most`. Thread-safe.

    Whoever asks for a value while it is being made waits for it.
    """

    def __init__(self, most: int, weight: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._weight = weight
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._pending: dict[Hashable, _Pending[T]] = {}
        self._total = 0

    def get(self, key: Hashable, make: Callable[[], T], cancel: CancelToken) -> T:
        """The value of `key`, from `make` if nobody has made it yet.

        An error of `make` is raised to everyone who waited, except `Cancelled`: that concerns the maker alone, and one
        of those who waited makes the value instead. Raises `Cancelled` if `cancel` is cancelled while waiting.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
                pending = self._pending.get(key)
                if pending is None:
                    mine = self._pending[key] = _Pending[T]()
                    break
            while not pending.done.wait(_POLL_SECONDS):
                cancel.check()
            if pending.made:
                return pending.made[0]
            if pending.error is not None and not isinstance(pending.error, Cancelled):
                raise pending.error
        return self._make(key, mine, make)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._total = 0

    def _make(self, key: Hashable, mine: _Pending[T], make: Callable[[], T]) -> T:
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
                    self._store(key, made)
            mine.done.set()
        return value

    def _store(self, key: Hashable, value: T) -> None:
        weight = self._weight(value)
        if weight > self._most:
            return
        self._values[key] = value
        self._total += weight
        while self._total > self._most:
            _, dropped = self._values.popitem(last=False)
            self._total -= self._weight(dropped)


# One image of 4096 x 4096 as uint8 and float32 takes 252 MB, 16 of 1024 x 1024 do.
MOST_KEPT: Final = 256 * 1024 * 1024
# Smaller ones come out of the allocator's own store.
LEAST_KEPT: Final = 1024 * 1024


class _Held:
    """What an array says that its memory belongs to: when the array and all views of it are gone, this is too."""

    def __init__(self, buffer: NDArray[np.uint8], shape: tuple[int, ...], typestr: str) -> None:
        self.__array_interface__: dict[str, Any] = {
            **buffer.__array_interface__,
            "shape": shape,
            "typestr": typestr,
        }


class Memory:
    """Gives arrays, and takes their buffers back by itself when nobody holds them. Safe for threads.

    At most `most` bytes are kept; the oldest go first.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        # No lock: a buffer comes back wherever its last holder goes, even in the middle of the garbage collector. A
        # list's own steps are indivisible.
        self._free: list[NDArray[np.uint8]] = []

    @property
    def kept(self) -> int:
        """Bytes that wait for an image."""
        return sum(buffer.nbytes for buffer in tuple(self._free))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array as `numpy.empty` gives, its pixels whatever was there before."""
        kind: Any = np.dtype(dtype)
        size = math.prod(shape) * int(kind.itemsize)
        if size < LEAST_KEPT:
            return np.empty(shape, dtype)
        buffer = self._taken(size)
        held = _Held(buffer, shape, str(kind.str))
        weakref.finalize(held, self._give_back, buffer).atexit = False
        return np.asarray(held)

    def _taken(self, size: int) -> NDArray[np.uint8]:
        for _ in range(len(self._free)):
            try:
                buffer = self._free.pop(0)
            except IndexError:
                break
            if buffer.nbytes == size:
                return buffer
            self._free.append(buffer)
        try:
            return np.empty(size, np.uint8)
        except MemoryError:
            self._free.clear()
            return np.empty(size, np.uint8)

    def _give_back(self, buffer: NDArray[np.uint8]) -> None:
        self._free.append(buffer)
        while self.kept > self._most:
            try:
                self._free.pop(0)
            except IndexError:
                break


class PixelBudget:
    """How many pixels of images that nobody asked for may be in memory at once. Safe for threads.

    One image alone is always let in, however large.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.RLock()  # the garbage collector may end an image in the middle of `admits`
        self._taken = 0

    def admits(self, pixels: int) -> bool:
        """Take `pixels` of the budget; False if that isn't there. `release` gives them back."""
        with self._lock:
            if self._taken and self._taken + pixels > self._most:
                return False
            self._taken += pixels
            return True

    def release(self, pixels: int) -> None:
        with self._lock:
            self._taken -= pixels

    def release_with(self, array: NDArray[Any], pixels: int) -> None:
        """`release`, when `array` and all views of it are gone. `array`: as `Memory.empty` gave it."""
        holder = array if array.base is None else array.base
        weakref.finalize(holder, self.release, pixels).atexit = False


images: Final = Memory()
# As uint8 and float32 they take 1.5 GB.
unasked: Final = PixelBudget(100_000_000)
