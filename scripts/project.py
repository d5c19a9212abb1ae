"""The project's few commands. Standard library only, on every system: `python scripts/project.py <command>`.

    setup   make .venv with all that the others need (on Linux PyTorch's default build is several GB;
            PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes the small one)
    check   ruff and the type checker
    test    all tests (further arguments go to pytest)
    demo    every example workflow, with images in output/ (--host, --stand-in, workflow files)
    bench   the benchmark (further arguments go to it)

Each command sets up what it needs. Python 3.10 or newer.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENTS = (ROOT / "requirements-dev.txt", ROOT / "requirements.txt")


def run(*arguments: str) -> None:
    """Run a command in the project's folder; ends this process with its exit code if it fails."""
    code = subprocess.run(arguments, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def setup(arguments: list[str]) -> None:
    if arguments:
        sys.exit("setup takes no arguments")
    digest = hashlib.sha256(b"\n".join(file.read_bytes() for file in REQUIREMENTS)).hexdigest()
    stamp = ENVIRONMENT / "requirements.sha256"
    if PYTHON.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    if not PYTHON.is_file():
        print("Making .venv ...", flush=True)
        try:
            venv.create(ENVIRONMENT, clear=True, with_pip=True)
        except subprocess.CalledProcessError:
            # Debian and Ubuntu split Python's own venv off.
            sys.exit("This Python can't make an environment: install its venv package (apt install python3-venv).")
    print("Installing requirements-dev.txt into .venv (PyTorch is large) ...", flush=True)
    run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS[0]))
    stamp.write_text(digest, encoding="utf-8")


def check(arguments: list[str]) -> None:
    if arguments:
        sys.exit("check takes no arguments")
    setup([])
    run(str(PYTHON), "-m", "ruff", "check", ".")
    run(str(PYTHON), "-m", "ruff", "format", "--check", ".")
    run(str(PYTHON), "-m", "basedpyright")


def test(arguments: list[str]) -> None:
    setup([])
    # loadgroup keeps the tests that share a real host in one worker, so that one host is started.
    # -rs says in a line what was skipped and why.
    run(str(PYTHON), "-m", "pytest", "-q", "-rs", "-n", "auto", "--dist", "loadgroup", *arguments)


def demo(arguments: list[str]) -> None:
    setup([])
    run(str(PYTHON), "demo", *arguments)


def bench(arguments: list[str]) -> None:
    setup([])
    run(str(PYTHON), "bench", *arguments)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "setup": setup,
    "check": check,
    "test": test,
    "demo": demo,
    "bench": bench,
}


def main(arguments: list[str]) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - words instead of a traceback
        sys.exit("Python 3.10 or newer is needed.")
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
