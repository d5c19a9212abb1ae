"""A pack for a real ComfyUI, placed there by the benchmark: measures how long another pack takes to load, and loads it.

`BENCH_PACK` is the other pack's folder, `BENCH_LOADED` the JSON file that the figures go to. Each load is measured in
a forked child of the host, so that each is a first one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import torch
from comfy_api.latest import ComfyExtension, io

_LOADS = 11
# The host imports its own parser of pyproject.toml at the first pack that it loads, whichever that is.
_NOTHING = "async def comfy_entrypoint():\n    from comfy_api.latest import ComfyExtension\n" + (
    "    class Nothing(ComfyExtension):\n        async def get_node_list(self):\n            return []\n"
    "    return Nothing()\n"
)


class BenchBlockingSleep(io.ComfyNode):
    """Holds the host's loop, as a sampler does."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BenchBlockingSleep",
            display_name="Blocking sleep",
            category="bench",
            inputs=[io.Float.Input("seconds", min=0, max=60), io.Int.Input("salt", min=0, max=2**31)],
            outputs=[io.Image.Output("image")],
        )

    @classmethod
    def execute(cls, seconds: float, salt: int) -> io.NodeOutput:  # noqa: ARG003 - makes runs differ
        time.sleep(seconds)
        return io.NodeOutput(torch.zeros(1, 8, 8, 3))


def _load(folder: Path) -> dict[str, object]:
    import nodes

    before = set(sys.modules)
    began, began_busy = time.perf_counter(), time.process_time()
    loaded = asyncio.new_event_loop().run_until_complete(nodes.load_custom_node(str(folder)))
    seconds, busy = time.perf_counter() - began, time.process_time() - began_busy
    return {"loaded": loaded, "seconds": seconds, "busy": busy, "modules": sorted(set(sys.modules) - before)}


def _in_child(folder: Path) -> dict[str, object]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(_load(folder), pipe)
            pipe.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer: dict[str, object] = json.load(pipe)
    os.waitpid(child, 0)
    return answer


class Measuring(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [BenchBlockingSleep]


async def comfy_entrypoint() -> Measuring:
    import nodes

    pack = Path(os.environ["BENCH_PACK"])
    nothing = pack.with_name("nothing")
    nothing.mkdir()
    (nothing / "__init__.py").write_text(_NOTHING, encoding="utf-8")
    await nodes.load_custom_node(str(nothing))
    found: dict[str, list[dict[str, object]]] = {"pack": [], "nothing": []}
    if hasattr(os, "fork"):
        # The first load compiles the pack's files, which a person waits for once.
        _in_child(pack)
        for _ in range(_LOADS):
            found["pack"].append(_in_child(pack))
            found["nothing"].append(_in_child(nothing))
    Path(os.environ["BENCH_LOADED"]).write_text(json.dumps(found), encoding="utf-8")
    await nodes.load_custom_node(str(pack))
    return Measuring()
