"""The project's few commands. Standard library only, on every system: `python scripts/project.py <command>`.

    setup      make .venv with all that the others need
    check      ruff, the formatter, the type checker, and how many files one Generate enters
    fix        let ruff repair and format what it can
    test       all tests (further arguments go to pytest)
    test-fast  the tests that need neither a real ComfyUI nor long: about a minute
    demo       every example workflow, with images in output/ (--host, --stand-in, workflow files)
    bench      the benchmark (further arguments go to it)

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
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENT: Final = ROOT / ".venv"
UV: Final = "uv==0.13.9"
# The host brings PyTorch to the pack itself; the stand-in host and the tests need one of their own. It isn't in
# uv.lock, because the lock would fix the index and with it, on Linux, several GB of CUDA.
TORCH: Final = "torch==2.13.0"
PARALLEL: Final = ("-n", "auto", "--dist", "loadgroup")


def python() -> str:
    return str(ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def succeeds(*arguments: str) -> bool:
    """Whether a command in the project's folder ends well."""
    # uv must use the environment's Python and none that it downloads itself.
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT)}
    return subprocess.run(arguments, cwd=ROOT, env=environment, check=False).returncode == 0


def run(*arguments: str) -> None:
    """Run a command in the project's folder; end this process with its exit code if it fails."""
    code = subprocess.run(arguments, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def setup(arguments: list[str]) -> None:
    if arguments:
        sys.exit("setup takes no arguments")
    sources = (ROOT / "pyproject.toml", ROOT / "uv.lock", Path(__file__))
    digest = hashlib.sha256(b"\n".join(file.read_bytes() for file in sources)).hexdigest()
    stamp = ENVIRONMENT / "installed.sha256"
    if Path(python()).is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    make_environment()
    print("Installing into .venv: a minute or two the first time, and 1.7 GB of disk ...", flush=True)
    pip = (python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, UV)
    # --inexact: what the lock doesn't list (pip, uv, PyTorch) stays.
    if not succeeds(python(), "-m", "uv", "sync", "--quiet", "--locked", "--inexact", "--python", python()):
        sys.exit("The packages of uv.lock could not be installed.")
    install_torch(pip)
    stamp.write_text(digest, encoding="utf-8")


def make_environment() -> None:
    """Make .venv, or make it anew where an earlier attempt left one without pip."""
    if Path(python()).is_file() and succeeds(python(), "-m", "pip", "--version"):
        return
    print("Making .venv ...", flush=True)
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        # Debian and Ubuntu split off the part of Python that puts pip into an environment.
        sys.exit("This Python can't make an environment: install its venv package (apt install python3-venv).")


def install_torch(pip: tuple[str, ...]) -> None:
    """Install PyTorch, on Linux its CPU build: from PyTorch's own index, else from wherever pip is told to look."""
    if sys.platform == "linux":
        command = (python(), "-m", "uv", "pip", "install", "--quiet", "--python", python(), "--torch-backend=cpu")
        if succeeds(*command, TORCH):
            return
        print("PyTorch's own index can't be reached; pip installs what it finds.", flush=True)
    run(*pip, TORCH)


def check(arguments: list[str]) -> None:
    if arguments:
        sys.exit("check takes no arguments")
    setup([])
    run(python(), "-m", "ruff", "check", ".")
    run(python(), "-m", "ruff", "format", "--check", ".")
    run(python(), "-m", "basedpyright")
    name_pack()
    for folder in ("tests", "bench"):
        run(python(), "-m", "basedpyright", "-p", folder)
    run(python(), "scripts/count_rooms.py")


def name_pack() -> None:
    """Let the type checker find the pack under `pack`, as the tests load it: by a link in .venv."""
    alias = ENVIRONMENT / "alias" / "pack"
    if alias.exists():
        return
    alias.parent.mkdir(exist_ok=True)
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(ROOT), str(alias))
    else:
        alias.symlink_to(ROOT, target_is_directory=True)


def fix(arguments: list[str]) -> None:
    setup([])
    run(python(), "-m", "ruff", "check", "--fix", *(arguments or ["."]))
    run(python(), "-m", "ruff", "format", *(arguments or ["."]))


def test(arguments: list[str]) -> None:
    setup([])
    # loadgroup keeps the tests that share a real host in one worker: one host is started for them.
    # -rs says in a line what was skipped and why.
    run(python(), "-m", "pytest", "-q", "-rs", "--durations=15", *PARALLEL, *arguments)


def test_fast(arguments: list[str]) -> None:
    setup([])
    run(python(), "-m", "pytest", "-q", "-m", "not slow and not host and not browser", *PARALLEL, *arguments)


def demo(arguments: list[str]) -> None:
    setup([])
    run(python(), "demo", *arguments)


def bench(arguments: list[str]) -> None:
    setup([])
    run(python(), "bench", *arguments)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "setup": setup,
    "check": check,
    "fix": fix,
    "test": test,
    "test-fast": test_fast,
    "demo": demo,
    "bench": bench,
}


def main(arguments: list[str]) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - a sentence instead of a traceback
        sys.exit("Python 3.10 or newer is needed.")
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
