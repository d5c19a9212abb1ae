"""The project's commands are where people and the gate look for them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

COMMANDS = ("setup", "check", "test", "demo", "bench")


def project(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/project.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=60)


@pytest.mark.parametrize("arguments", [(), ("frobnicate",)])
def test_without_a_command_it_says_which_there_are(arguments: tuple[str, ...]) -> None:
    done = project(*arguments)
    assert done.returncode == 1
    for command in COMMANDS:
        assert re.search(rf"^    {command} ", done.stderr, re.MULTILINE)


def test_make_has_the_same_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^(.+):\n\t", makefile, re.MULTILINE).group(1).split() == list(COMMANDS)
    if shutil.which("make"):
        done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
        assert "scripts/project.py demo" in done.stdout


def test_the_gate_checks_before_it_tests_and_stops_at_the_first_failure() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert gate.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in gate
    assert gate.index("project.py check") < gate.index("project.py test")
    assert gate.rstrip().endswith("project.py test")
