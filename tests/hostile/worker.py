"""A client in a process of its own: `worker.py FOLDER BASE_URL FAULT...` makes one call for each fault.

It prints, as JSON lines, what the call held in memory at most, in bytes over what was there before, and how it ended.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import tracemalloc
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def main() -> None:
    sys.path[:0] = [str(TESTS)]
    importlib.import_module("conftest")
    from engines import Bench

    folder, base_url, *faults = sys.argv[1:]
    tracemalloc.start()
    with Bench(Path(folder), base_url, total_timeout=60.0, connect_timeout=10.0) as bench:
        assert bench.make("a first call loads what calls need").images
        for fault in faults:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            began = time.monotonic()
            outcome = bench.make(f"[fault:{fault}]")
            _, peak = tracemalloc.get_traced_memory()
            report = {
                "fault": fault,
                "bytes": peak - before,
                "seconds": round(time.monotonic() - began, 2),
                "error": str(outcome.error or ""),
            }
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
