"""What the tests start ends with them: a plugin that looks for processes which outlive the run, and fails it for them.

Every process of a run inherits a mark in its environment, however it was started. Linux only: elsewhere nothing is
looked for.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MARK = "NANOBANANA_TEST_RUN"
PATIENCE_SECONDS = 10.0


def marked(mark: str) -> list[str]:
    """The processes with this mark, but for this one: their numbers and commands."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes() and folder.name != str(os.getpid()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.name} {command[:200]}")
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


class Leftovers:
    """For the process that leads the run, not for its workers."""

    def __init__(self) -> None:
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        name, value = self._mark.split("=")
        os.environ[name] = value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Behind every other plugin: the workers have been told to end, which takes them a moment."""
        yield
        end = time.monotonic() + PATIENCE_SECONDS
        while (left := marked(self._mark)) and time.monotonic() < end:
            time.sleep(0.1)
        if left:
            reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
            reporter.write_line("\nThe tests left processes behind:\n" + "\n".join(left), red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
