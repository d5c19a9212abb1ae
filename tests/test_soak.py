"""A short soak: see scripts/soak.py for the long one."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "soak.py"


@pytest.mark.skipif(os.name == "nt", reason="processes are killed as POSIX does")
def test_two_processes_over_one_folder_lose_nothing_and_pay_nothing_twice() -> None:
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    soak = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = soak
    spec.loader.exec_module(soak)
    findings = soak.Soak(30, kills=1, seed=7, say=False).run()
    assert findings.broken == []
    assert findings.paid >= 20
    assert findings.endings["picture"] >= 15
