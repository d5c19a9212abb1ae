"""Where graphs are measured: the stand-in for ComfyUI in this process, and a real ComfyUI where one is found."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from fake_gateway import RunningGateway
from loading import ROOT, load_pack

# `demo` holds the stand-in, and what starts a real ComfyUI.
sys.path.append(str(ROOT / "demo"))

from comfy_process import PACK_NAME, find_installation, running_host
from outcome import Host

_PARTS = ("__init__.py", "nanobanana", "nodes", "web", "locales", "pyproject.toml")


@dataclass(frozen=True)
class Party:
    """One host under measurement. `loads`: how the pack loaded there, see `measuring_pack`."""

    name: str
    host: Host
    interrupt: Callable[[], None]
    loads: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, "list[dict[str, Any]]"])


def _settings(folder: Path, gateway: RunningGateway) -> dict[str, str]:
    """A data folder whose default profile is the gateway with a concurrency of 8; returns the environment for it."""
    load_pack()
    from pack.nanobanana.settings.profile import Profile
    from pack.nanobanana.settings.store import ProfileStore

    ProfileStore(folder, environ={}).save(Profile(base_url=gateway.base_url, concurrency=8, finish_after_cancel=False))
    return {"NANOBANANA_HOME": str(folder), "NANOBANANA_BASE_URL": "", "NANOBANANA_API_KEY": ""}


@contextlib.contextmanager
def stand_in(folder: Path, gateway: RunningGateway) -> Generator[Party]:
    """The stand-in with its folders below `folder`."""
    import torch
    from stand_in import StandIn
    from stand_in.io_node import ComfyNode, NodeOutput, Schema
    from stand_in.io_types import FloatInput, IntInput, socket_type
    from stand_in_runner import StandInRunner

    class BenchBlockingSleep(ComfyNode):
        @classmethod
        def define_schema(cls) -> Schema:
            inputs = [FloatInput("seconds", default=1.0, min=0, max=60), IntInput("salt", default=0, min=0, max=2**31)]
            return Schema(node_id="BenchBlockingSleep", inputs=inputs, outputs=[socket_type("IMAGE").Output("image")])

        @classmethod
        def execute(cls, seconds: float, salt: int) -> NodeOutput:  # noqa: ARG003 - makes runs differ
            time.sleep(seconds)
            return NodeOutput(torch.zeros(1, 8, 8, 3))

    os.environ.update(_settings(folder / "data", gateway))
    with StandIn({PACK_NAME: ROOT}, folder / "host", extra_nodes=[BenchBlockingSleep]) as opened:
        yield Party("stand-in", StandInRunner(opened, folder / "host"), opened.interrupt)


@contextlib.contextmanager
def real(folder: Path, gateway: RunningGateway) -> Generator[Party | None]:
    """A ComfyUI with its folders below `folder`, or None where none is found."""
    installation = find_installation(os.environ)
    if installation is None:
        yield None
        return
    pack, measuring, loaded = folder / "packs" / PACK_NAME, folder / "packs" / "measuring", folder / "loaded.json"
    pack.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, pack / part, ignore=ignored)
        else:
            shutil.copy(source, pack / part)
    shutil.copytree(ROOT / "bench" / "measuring_pack", measuring, ignore=ignored)
    environ = _settings(folder / "data", gateway)
    # As for a user: the second start finds the pack compiled.
    environ |= {"PYTHONDONTWRITEBYTECODE": "", "BENCH_PACK": str(pack), "BENCH_LOADED": str(loaded)}
    with running_host(installation, folder / "comfyui", measuring, environ) as host:
        opener = build_opener(ProxyHandler({}))

        def interrupt() -> None:
            request = Request(f"{host.url}/interrupt", data=b"{}", headers={"Content-Type": "application/json"})
            opener.open(request, timeout=10).close()

        loads = json.loads(loaded.read_text(encoding="utf-8"))
        yield Party(f"ComfyUI {host.version()}", host, interrupt, loads)
