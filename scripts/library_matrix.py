"""Does the pack work with the libraries that a ComfyUI may have? `python scripts/library_matrix.py [--only WORD]`

Makes an environment for each row in a temporary folder, from the package registry, and runs there the library's quick
tests and one run of each node in the stand-in host. PyTorch comes from the environment that runs this script, so the
nodes are run with that environment's version of Python only. A Python that isn't found is a row without results.
Prints a table, and ends with 1 when a test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
TOOLS = ("aiohttp", "hypothesis", "pytest>=8,<9.2", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "PySocks")
LIBRARY = ("-m", "not slow", "tests/gateway", "tests/imaging", "tests/calls")
WITHOUT_TORCH = ("--ignore", "tests/imaging/test_masking.py")
NODES = (
    "tests/nodes/test_generate.py::test_a_image_arrives_exactly_as_its_file_says",
    "tests/nodes/test_edit.py",
    "tests/nodes/test_small_nodes.py",
)
NAMES = ("urllib3", "requests", "numpy", "pillow")
# What the tests leave to the libraries' own warnings: older ones warn of other things.
PYTEST = ("-q", "-n", "2", "--dist", "loadgroup", "-W", "default")
FACTS = f"""
import importlib.metadata, json, PIL.features
print(json.dumps([*map(importlib.metadata.version, {NAMES!r}), "yes" if "avif" in PIL.features.modules else "no"]))
"""
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


@dataclass(frozen=True)
class Row:
    """A Python, and the libraries that are asked for."""

    python: str
    libraries: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join((self.python, *self.libraries))


ROWS = (
    Row(OURS, ("urllib3<2", "requests==2.28.*")),
    Row(OURS, ("urllib3==2.0.7", "requests==2.31.*")),
    Row(OURS, ("urllib3==2.1.*",)),
    Row(OURS, ("numpy==1.26.*", "pillow==10.*")),
    *(Row(version, ()) for version in ("3.10", "3.11", "3.12", "3.13", "3.14")),
)


def find_python(version: str) -> str | None:
    """A program that is this Python: ours, one of the path's, or one of pyenv's."""
    if version == OURS:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for candidate in (*kept, shutil.which(f"python{version}")):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def tested(python: Path, arguments: tuple[str, ...]) -> tuple[str, bool]:
    done = subprocess.run(
        [str(python), "-m", "pytest", *PYTEST, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            print(line, file=sys.stderr)
    return re.sub(r" in [\d.]+s.*|, \d+ warnings?", "", last), done.returncode == 0


def run(row: Row, folder: Path) -> tuple[list[str], bool]:
    """The row's cells, and whether it is good."""
    found = find_python(row.python)
    if found is None:
        return [row.python, *("" for _ in NAMES), "", "this Python is not here", ""], True
    subprocess.run([found, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = (*row.libraries, "requests", "pillow", "numpy", "trustme", *TOOLS)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True, stderr=subprocess.DEVNULL)
    facts = json.loads(subprocess.check_output([str(python), "-c", FACTS], text=True))
    if row.python != OURS:
        library, good = tested(python, (*LIBRARY, *WITHOUT_TORCH))
        return [row.python, *facts, library, "not run: no PyTorch"], good
    # Behind the environment's own packages: it gives what they lack, which is PyTorch.
    site = subprocess.check_output([str(python), "-c", SITE], text=True).strip()
    (Path(site) / "torch_of_ours.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    library, good = tested(python, LIBRARY)
    nodes, well = tested(python, NODES)
    return [row.python, *facts, library, nodes], good and well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose Python or libraries contain this")
    only = parser.parse_args().only
    heads = ["Python", *NAMES, "AVIF", "library's tests", "nodes' tests"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    good = True
    for row in ROWS:
        if only not in row.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            cells, well = run(row, Path(folder))
        good = good and well
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
