"""Loads the pack's root under the alias `pack`, as the host does: by path, under a name of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stand_in import StandIn

ROOT = Path(__file__).resolve().parent.parent
# The ids of the pack's nodes, as workflows out there hold them.
NODE_IDS = tuple(json.loads((ROOT / "tests" / "frozen_nodes.json").read_text(encoding="utf-8")))


def _load_pack() -> None:
    if "pack" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)


_load_pack()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Here: the workers of some tests load this file by its path, for the pack alone.
        from leftovers import Leftovers

        config.pluginmanager.register(Leftovers())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A test that passed at its second try: what the first one said."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"Failed at first: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of this machine reaches the pack; the data folder is `tmp_path`/data, which is returned."""
    for name in [name for name in os.environ if name.startswith("NANOBANANA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NANOBANANA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def stand_in(clean_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """The pack in the stand-in host, against a simulator that ends with the test."""
    from gateway_faults import FaultyGateway
    from stand_in import StandIn

    with FaultyGateway(latency=0.05) as simulator:
        monkeypatch.setenv("NANOBANANA_BASE_URL", simulator.base_url)
        with StandIn({"nanobanana-gateway": ROOT}, tmp_path / "host") as host:
            yield host
