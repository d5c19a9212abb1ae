"""Loads the pack as the host does, by path, and the host's own conversions where a ComfyUI is found."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def load_pack() -> None:
    """Make the pack importable as `pack`."""
    if "pack" not in sys.modules:
        _load("pack", ROOT / "__init__.py", package=True)


def load_tensors() -> Any:
    """`nodes/_tensors.py` without the rest of the nodes, which need a running host."""
    load_pack()
    return sys.modules.get("pack.nodes._tensors") or _load("pack.nodes._tensors", ROOT / "nodes" / "_tensors.py")


def comfyui_folder() -> Path | None:
    """`COMFYUI_PATH`, else `~/comfy/ComfyUI`, where there is one."""
    folder = Path(os.environ.get("COMFYUI_PATH") or Path.home() / "comfy" / "ComfyUI").expanduser()
    return folder if (folder / "main.py").is_file() else None


def load_core_conversions() -> Any:
    """ComfyUI's own `comfy_api_nodes.util.conversions`, or None where this Python can't import it."""
    folder = comfyui_folder()
    if folder is None:
        return None
    import torch

    # The host is imported here as its own main.py would do it; this process is for measuring only.
    sys.path.insert(0, str(folder))
    try:
        arguments: Any = importlib.import_module("comfy.cli_args").args
        arguments.cpu = not torch.cuda.is_available()
        return importlib.import_module("comfy_api_nodes.util.conversions")
    except ImportError:
        return None
    finally:
        sys.path.remove(str(folder))


def _load(name: str, file: Path, *, package: bool = False) -> ModuleType:
    folders = [str(file.parent)] if package else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
