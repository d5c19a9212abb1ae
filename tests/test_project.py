"""The project's commands do what their names say, from `make` too."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

SCRIPT = ROOT / "scripts" / "project.py"


@pytest.fixture(scope="module")
def project() -> ModuleType:
    spec = importlib.util.spec_from_file_location("project", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("arguments", [(), ("frobnicate",)])
def test_without_a_command_it_says_which_there_are(project: ModuleType, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 1
    described = {line.split()[0] for line in done.stderr.splitlines() if line.startswith("    ") and line[4] != " "}
    assert described == set(project.COMMANDS)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_passes_every_command_on(project: ModuleType) -> None:
    # Inside `make test` a make of our own would say which folder it enters, and take over the outer one's flags.
    outside = {
        name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "ARGS")
    }
    for command in project.COMMANDS:
        done = subprocess.run(
            ["make", "-n", command], cwd=ROOT, env=outside, capture_output=True, encoding="utf-8", check=True
        )
        assert done.stdout.split()[1:] == ["scripts/project.py", command]


@pytest.mark.slow
def test_an_environment_without_pip_is_made_anew(
    project: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Debian leaves behind when its venv package is missing: a Python, but no pip."""
    monkeypatch.setattr(project, "ENVIRONMENT", tmp_path / ".venv")
    venv.create(project.ENVIRONMENT, with_pip=False)
    (project.ENVIRONMENT / "left over").touch()
    project.make_environment()
    assert project.succeeds(project.python(), "-m", "pip", "--version")
    assert not (project.ENVIRONMENT / "left over").exists()
    (project.ENVIRONMENT / "ours").touch()
    project.make_environment()
    assert (project.ENVIRONMENT / "ours").exists()
