"""The benchmark: every number that the project holds itself to, side by side with its floor and with ComfyUI.

    python bench            everything; writes docs/performance.md and its plots
    python bench --short    a minute, for the gate: ratios only; fails where a bound is missed threefold; writes nothing

Each part runs in a process of its own; the image path in a ComfyUI's Python where one is found. Exit code 1 when a
bound is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loading import ROOT
from measuring import LEAST_REPEATS, Row

# `demo` holds what finds a ComfyUI.
sys.path.append(str(ROOT / "demo"))

from comfy_process import find_installation
from page import bound, page, value

HERE = Path(__file__).resolve().parent
# How much worse than its bound a ratio may be in the short form, and how often it is measured before it counts.
ROOM = 3.0
TRIES = 3


@dataclass
class Result:
    """What one part measured."""

    rows: list[Row]
    points: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    curves: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def measured(script: str, *arguments: str, python: str = sys.executable) -> Result:
    """What `script` prints as JSON. Its progress goes to our own error stream."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([python, str(HERE / script), *arguments], stdout=subprocess.PIPE, env=environ, check=False)
    if done.returncode:
        sys.exit(f"{script} ended with {done.returncode}")
    # What a library prints comes before.
    answer: Any = json.loads(done.stdout.decode().strip().splitlines()[-1])
    if isinstance(answer, list):
        answer = {"rows": answer}
    rows = [Row(**row) for row in answer["rows"]]
    return Result(rows, answer.get("points", []), answer.get("curves", []))


def load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def full(repeats: int) -> int:
    began, load = time.monotonic(), load_average()
    installation = find_installation(os.environ)
    many = ("--repeats", str(repeats))
    print(f"The image path{'' if installation else ' (no ComfyUI found to compare with)'} ...", flush=True)
    images = measured("image_rows.py", *many, python=str(installation.python) if installation else sys.executable)
    print("The wire ...", flush=True)
    wire = measured("wire.py", *many)
    print("The graph, in the stand-in for ComfyUI ...", flush=True)
    graph = measured("graphs.py", *many)
    real = Result([])
    if installation:
        print("The graph, in a real ComfyUI ...", flush=True)
        real = measured("graphs.py", "--host", *many)
    print("Growth ...", flush=True)
    growth = measured("growth.py", *many)
    memory = measured("memory.py")
    sections = {
        "The image path": images.rows,
        "The wire": wire.rows,
        "The graph": [*real.rows, *graph.rows],
        "Growth": [*growth.rows, *memory.rows],
    }
    from drawing import growth as draw_growth
    from drawing import image_path

    docs = ROOT / "docs"
    image_path(images.points, docs / "pictures" / "performance.svg")
    draw_growth(images.points, [*growth.curves, *memory.curves], docs / "pictures" / "growth.svg")
    (docs / "performance.md").write_text(page(sections, repeats, load), encoding="utf-8")
    rows = [row for found in sections.values() for row in found]
    print(f"\n{told(rows)}\n\nWritten to docs/performance.md, {time.monotonic() - began:.0f} s.")
    return 0 if all(row.is_met for row in rows) else 1


def told(rows: list[Row]) -> str:
    """The rows as a table for a terminal."""
    width = max(len(row.what) for row in rows)
    lines = [f"{row.what:{width}}  {value(row, row.value):>10}  {bound(row):>16}" for row in rows]
    return "\n".join(f"{line}  {'ok' if row.is_met else 'MISSED'}" for line, row in zip(lines, rows, strict=True))


def loosened(row: Row) -> Row:
    return replace(row, limit=row.limit * ROOM if row.at_most else row.limit / ROOM)


def short() -> int:
    """Each part's ratios; a part that misses one is measured again, for another process may have been in the way."""
    began = time.monotonic()
    kept: list[Row] = []
    for script in ("image_rows.py", "wire.py", "graphs.py", "growth.py"):
        best: dict[str, Row] = {}
        for _ in range(TRIES):
            for row in measured(script, "--short", "--repeats", "3").rows:
                if not row.unit and (row.what not in best or not best[row.what].is_met):
                    best[row.what] = loosened(row)
            if all(row.is_met for row in best.values()):
                break
        kept.extend(best.values())
    print(f"\n{told(kept)}\n\n{time.monotonic() - began:.0f} s")
    return 0 if all(row.is_met for row in kept) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="ratios only, for the gate")
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS, help="runs of each (default: %(default)s)")
    options = parser.parse_args()
    return short() if options.short else full(options.repeats)


if __name__ == "__main__":
    sys.exit(main())
