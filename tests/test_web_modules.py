"""The pure modules of `web/`, tested by Node's own runner."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from conftest import ROOT

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="no Node.js found")
def test_the_modules_do_what_they_should() -> None:
    tests = sorted(str(path) for path in (ROOT / "tests" / "web").glob("*.test.mjs"))
    assert tests
    assert NODE is not None
    done = subprocess.run([NODE, "--test", *tests], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
