"""Loading a pack the way ComfyUI does: by path, under a name that is the path. Where the host warns, this raises."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from .io_node import ComfyNode
from .modules import ComfyExtension


class PackRefused(Exception):
    """The host would not have loaded this pack."""


async def load_pack(folder: Path, name: str, *, floor: bool = False) -> dict[str, type[ComfyNode]]:
    """The pack's nodes by id. `name` is the folder's name under `custom_nodes`; `floor` as in `StandIn`.

    Raises:
        PackRefused: the pack has no usable `comfy_entrypoint`, or defines `NODE_CLASS_MAPPINGS`, which would win
            over it in the host.
    """
    module_name = str(folder.resolve()).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(module_name, folder / "__init__.py")
    if spec is None or spec.loader is None:
        raise PackRefused(f"{folder} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    if getattr(module, "NODE_CLASS_MAPPINGS", None) is not None:
        raise PackRefused("NODE_CLASS_MAPPINGS wins over comfy_entrypoint")
    web = getattr(module, "WEB_DIRECTORY", None)
    if web is not None and not (folder / web).is_dir():
        raise PackRefused(f"WEB_DIRECTORY {web} is no folder")
    entrypoint: Any = getattr(module, "comfy_entrypoint", None)
    if not callable(entrypoint):
        raise PackRefused("comfy_entrypoint is missing")
    extension: Any = entrypoint()
    if inspect.isawaitable(extension):
        extension = await extension
    if not isinstance(extension, ComfyExtension):
        raise PackRefused("comfy_entrypoint did not return a ComfyExtension")
    # Hosts before 0.14 never call it.
    if not floor:
        await extension.on_load()
    return register(await extension.get_node_list(), f"custom_nodes.{name}")


def register(nodes: Any, python_module: str) -> dict[str, type[ComfyNode]]:
    """`nodes`, a list of node classes, by id; two nodes of one id are refused."""
    if not isinstance(nodes, list):
        raise PackRefused("get_node_list did not return a list")
    by_id: dict[str, type[ComfyNode]] = {}
    for node in nodes:  # pyright: ignore[reportUnknownVariableType] - whatever a pack returns
        if not (isinstance(node, type) and issubclass(node, ComfyNode)):
            raise PackRefused(f"{node!r} is no ComfyNode class")
        node_id = node.GET_SCHEMA().node_id
        if node_id in by_id:
            raise PackRefused(f"two nodes are named {node_id}")
        node.RELATIVE_PYTHON_MODULE = python_module
        by_id[node_id] = node
    return by_id
