"""One order in a process of its own, which kills itself, or waits, at a named step:
`worker.py FOLDER BASE_URL STEP die|wait|limit RUN PROMPT`.

It prints the step when it gets there, and at the end how the call went, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def main() -> None:
    sys.path[:0] = [str(TESTS)]
    importlib.import_module("conftest")
    from engines import Bench, finished
    from pack.nanobanana.journal import Journal

    folder, base_url, step, then, run, prompt = sys.argv[1:]

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def reached(name: str) -> None:
        if name != step:
            return
        say(name)
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.readline()

    class Stepping(Journal):
        """Stops behind a step: it is on disk, the next one has not begun."""

        def claim(self, *arguments: Any, **named: Any) -> Any:
            claim = super().claim(*arguments, **named)
            reached("asked")
            return claim

        def sent(self, call_id: int) -> None:
            super().sent(call_id)
            reached("sent")

        def url(self, call_id: int, position: int, url: str) -> None:
            super().url(call_id, position, url)
            reached("url")

        def answered(self, *arguments: Any, **named: Any) -> None:
            super().answered(*arguments, **named)
            reached("answered")

        def keep(self, *arguments: Any, **named: Any) -> Any:
            record = super().keep(*arguments, **named)
            # The bytes and their row are on disk; nothing has been decoded.
            reached("keep")
            return record

        def kept(self, *arguments: Any, **named: Any) -> None:
            super().kept(*arguments, **named)
            reached("kept")

    if then == "limit":
        import resource

        # No file may grow beyond this: a disk that fills up in the middle of the image.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(step), int(step)))
    with Bench(
        Path(folder), base_url, journal=Stepping(Path(folder)), total_timeout=20.0, connect_timeout=5.0
    ) as bench:
        outcome = finished(bench.start(prompt, run), 60)
        report = {
            "pictures": len(outcome.images),
            "source": outcome.source,
            "error": str(outcome.error or ""),
            "warnings": list(outcome.warnings),
            "ended": time.time(),
        }
        say(json.dumps(report))


if __name__ == "__main__":
    main()
