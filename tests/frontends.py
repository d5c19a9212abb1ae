"""Versions of ComfyUI's frontend, from the package index, unpacked into a cache folder."""

from __future__ import annotations

import contextlib
import subprocess
import zipfile
from pathlib import Path

PACKAGE = "comfyui-frontend-package"
STATIC = Path("comfyui_frontend_package") / "static"


# The oldest one that the pack is made for.
OLDEST = "1.35.9"


def frontend(cache: Path, python: Path, version: str = "") -> Path | None:
    """The `static` folder of a version, the newest one by default; None where it can't be had and never was."""
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = f"{PACKAGE}=={version}" if version else PACKAGE
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    # Without an index the one that was fetched last time is the newest there is.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run([*command, "--dest", str(wheels), wanted], capture_output=True, check=True, timeout=100)
    found = sorted(wheels.glob(f"*-{version}-*.whl" if version else "*.whl"), key=lambda wheel: _version(wheel.name))
    if not found:
        return None
    folder = cache / found[-1].stem
    if not (folder / STATIC / "index.html").is_file():
        with zipfile.ZipFile(found[-1]) as wheel:
            wheel.extractall(folder)
    return folder / STATIC


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("-")[1].split(".") if part.isdigit())
