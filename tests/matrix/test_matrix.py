"""Every row of the fault matrix, measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.row import Row, measure
from matrix.table import ROWS

pytestmark = pytest.mark.slow

_NO_PROXY = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _NO_PROXY:
        monkeypatch.delenv(name, raising=False)
    found = measure(row, tmp_path / "data")
    told = (found.posts, found.paid, found.kept, found.delivered, found.billed, found.journal)
    expected = (row.posts, row.paid, row.kept, row.delivered, row.billed, row.journal)
    assert told == expected, found.words
    assert found.ending in row.ending.split(" or "), found.words
    assert row.says in found.words
    assert found.seconds < row.within
    assert found.same_run == 0, "a call that may have been billed was sent again within its run"
    assert found.again == row.again, found.again_words
    assert row.again_says in found.again_words
    # What no row may ever do.
    assert found.paid <= 1, "one image was paid twice"
    assert not (found.billed == "no" and found.paid), "a paid call was said to be free"
    assert found.violations == []


def test_every_row_is_there_once() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert len(ROWS) >= 120
