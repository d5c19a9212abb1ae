"""The host waits for the pack at every start: importing it loads nothing heavy, and takes little beside the floor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

# What a running host has loaded already, then the pack as the host loads it. Each load is a first one: it is a
# child's. Prints JSON: the new modules; seconds of a core for the load, and for importing what runs need afterwards.
PROGRAM = """
import asyncio, importlib, json, os, sys, time
from pathlib import Path

import aiohttp, numpy, PIL.Image, torch

sys.path.insert(0, sys.argv[2])
for name in [name for name in sys.modules if name.split(".")[0] in ("requests", "urllib3", "sqlite3")]:
    del sys.modules[name]
from stand_in.host import StandIn
from stand_in.loading import load_pack

pack, folder = Path(sys.argv[1]), Path(sys.argv[3])


def load(path):
    before, began = set(sys.modules), time.process_time()
    asyncio.run(load_pack(path, path.name))
    seconds, new = time.process_time() - began, sorted(set(sys.modules) - before)
    for later in ("_runs", "web_api.settings", "web_api.history"):
        importlib.import_module(str(path).replace(".", "_x_") + ".nodes." + later)
    return {"seconds": seconds, "later": time.process_time() - began - seconds, "new": new}


def in_child(path):
    reading, writing = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writing, "w") as pipe:
            json.dump(load(path), pipe)
            pipe.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = json.load(pipe)
    os.wait()
    return found


with StandIn({}, folder / "host"):
    if hasattr(os, "fork"):
        in_child(pack)
    # Without forks there is one load, and it compiles: all of it alike.
    loads = [in_child(pack) for _ in range(5)] if hasattr(os, "fork") else [load(pack)]
    print(json.dumps(loads))
"""
HEAVY = ("requests", "urllib3", "sqlite3", "ssl", "PIL", "numpy", "torch", "email", "http")
# Of some 110 modules 19 are needed to say which nodes there are.
MOST_OF_OURS = 25
MOST_OF_THE_TIME = 0.5


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("import")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("NANOBANANA_", "COV_"))}
    # Compiled files go to a folder of the test's own: the second load finds them, as a user's second start does.
    environ |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT), str(ROOT / "demo"), str(folder)],
        env=environ | {"NANOBANANA_HOME": str(folder / "data")},
        stdout=subprocess.PIPE,
        check=True,
        timeout=100,
    )
    return json.loads(done.stdout.decode().splitlines()[-1])


def is_ours(module: str) -> bool:
    return "/" in module or "\\" in module


def test_nothing_heavy_is_imported(loaded: Any) -> None:
    foreign = [name for name in loaded[0]["new"] if not is_ours(name)]
    assert not [name for name in foreign if name.split(".")[0] in HEAVY], foreign


def test_only_what_the_menu_needs_of_ours_is_imported(loaded: Any) -> None:
    ours = [name for name in loaded[0]["new"] if is_ours(name)]
    assert any(name.endswith(".nodes.generate") for name in ours), ours
    assert len(ours) <= MOST_OF_OURS, ours
    for part in ("gateway", "imaging", "journal", "simulator"):
        assert not [name for name in ours if f".nanobanana.{part}" in name]


def test_the_host_waits_for_a_small_part_of_the_imports(loaded: Any) -> None:
    parts = sorted(load["seconds"] / (load["seconds"] + load["later"]) for load in loaded)
    assert parts[len(parts) // 2] < MOST_OF_THE_TIME, loaded
