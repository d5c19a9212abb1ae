"""`nodes/_tensors.py` without the rest of `nodes`, which needs a host."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from conftest import ROOT


def _load() -> ModuleType:
    if "pack.nodes._tensors" in sys.modules:
        return sys.modules["pack.nodes._tensors"]
    spec = importlib.util.spec_from_file_location("pack.nodes._tensors", ROOT / "nodes" / "_tensors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tensors: Any = _load()
