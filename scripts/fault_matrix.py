"""Measure every row of the fault matrix and write docs/dev/fault-matrix.md.

`python scripts/fault_matrix.py [part of a name]`: with a part of a name only those rows are measured and shown, and
nothing is written.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dev" / "fault-matrix.md"


def main() -> int:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "demo")]
    # Loads the pack under the alias that the tests know it by.
    importlib.import_module("conftest")
    row: Any = importlib.import_module("matrix.row")
    document: Any = importlib.import_module("matrix.document")
    rows: Any = importlib.import_module("matrix.table").ROWS
    wanted = " ".join(sys.argv[1:])
    chosen = [one for one in rows if wanted in one.name]
    measured: dict[str, Any] = {}
    for number, one in enumerate(chosen, start=1):
        with tempfile.TemporaryDirectory() as folder:
            found = measured[one.name] = row.measure(one, Path(folder) / "data")
        words = f" {found.words}" if wanted else ""
        print(f"{number}/{len(chosen)} {document.line(one)} {found.seconds:.1f} s{words}", flush=True)
    if not wanted:
        PAGE.write_text(document.render(rows, measured), encoding="utf-8")
        print(f"{PAGE.relative_to(ROOT)}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
