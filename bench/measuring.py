"""Times side by side: what is compared is run in turn, so that whatever else the machine does falls on all alike."""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LEAST_REPEATS = 5
_WARMING_SECONDS = 2.0


@dataclass(frozen=True)
class Timing:
    """Seconds of each run of one thing: by the clock, and `busy`, spent by all cores together."""

    seconds: tuple[float, ...]
    busy: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        span = f"{min(self.seconds):.3f} to {max(self.seconds):.3f}"
        return f"{self.median:.3f} s ({span}; {statistics.median(self.busy):.3f} s of a core)"


@dataclass(frozen=True)
class Row:
    """One line of the result: `limit` bounds `value` from above (`at_most`) or from below.

    `unit`: of both; empty for a ratio.
    """

    what: str
    value: float
    limit: float
    at_most: bool
    detail: str
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        bound, unit = "at most" if self.at_most else "at least", f" {self.unit}" if self.unit else ""
        verdict = "ok  " if self.is_met else "MISS"
        return f"{verdict} {self.what}: {self.value:.2f}{unit}, {bound} {self.limit:g}{unit}; {self.detail}"


def side_by_side(works: Mapping[str, Callable[[], object]], repeats: int = LEAST_REPEATS) -> dict[str, Timing]:
    """Each of `works` once unmeasured, then all of them in turn `repeats` times; wall time by name.

    What takes seconds needs no warming up: the unmeasured runs end after two.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    busy: dict[str, list[float]] = {name: [] for name in works}
    enough = time.perf_counter() + _WARMING_SECONDS
    for work in works.values():
        if time.perf_counter() < enough:
            work()
    for _ in range(repeats):
        for name, work in works.items():
            gc.collect()
            began, began_busy = time.perf_counter(), time.process_time()
            result = work()
            seconds[name].append(time.perf_counter() - began)
            busy[name].append(time.process_time() - began_busy)
            # Freed outside of the measured time, as the host frees a result after the node.
            del result
    return {name: Timing(tuple(seconds[name]), tuple(busy[name])) for name in works}


def ratio(one: Timing, other: Timing) -> float:
    """How many times longer `one` takes than `other`, by their medians."""
    return one.median / other.median


def peak_memory(work: Callable[[], object]) -> int | None:
    """Bytes that `work` takes at its peak over what the process had before; None where the system can't say.

    Linux alone tells a peak that can be set back. Run it in a fresh process, see `in_fresh_process`.
    """
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not status.is_file():
        return None
    gc.collect()
    # What earlier work has freed and the allocator still holds would hide what this work needs.
    ctypes.CDLL(None).malloc_trim(0)
    before = _status_bytes(status, "VmRSS")
    reset.write_text("5")
    work()
    return _status_bytes(status, "VmHWM") - before


def in_fresh_process(script: Path, *arguments: str) -> dict[str, int | None]:
    """What `script`, run with `arguments` by this Python, prints as JSON."""
    done = subprocess.run([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, check=True)
    answer: dict[str, int | None] = json.loads(done.stdout)
    return answer


def _status_bytes(status: Path, field: str) -> int:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
