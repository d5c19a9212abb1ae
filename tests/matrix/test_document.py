"""docs/dev/fault-matrix.md says what the table says."""

from __future__ import annotations

from pathlib import Path

from matrix.document import render, without_seconds
from matrix.row import Measured
from matrix.table import ROWS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "fault-matrix.md"


def test_the_page_is_that_of_this_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    current = render(ROWS, {row.name: Measured() for row in ROWS})
    assert without_seconds(page) == without_seconds(current), "run: python scripts/fault_matrix.py"
