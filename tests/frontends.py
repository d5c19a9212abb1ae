"""The newest frontend of ComfyUI's, from the package index, unpacked into a cache folder."""

from __future__ import annotations

import contextlib
import subprocess
import zipfile
from pathlib import Path

PACKAGE = "comfyui-frontend-package"
STATIC = Path("comfyui_frontend_package") / "static"


def newest_frontend(cache: Path, python: Path) -> Path | None:
    """Its `static` folder; None where the index can't be reached and none was fetched before."""
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    # Without an index the one that was fetched last time is the newest there is.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run([*command, "--dest", str(wheels), PACKAGE], capture_output=True, check=True, timeout=100)
    found = sorted(wheels.glob("*.whl"), key=lambda wheel: _version(wheel.name))
    if not found:
        return None
    folder = cache / found[-1].stem
    if not (folder / STATIC / "index.html").is_file():
        with zipfile.ZipFile(found[-1]) as wheel:
            wheel.extractall(folder)
    return folder / STATIC


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("-")[1].split(".") if part.isdigit())
