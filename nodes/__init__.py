"""The pack's face in ComfyUI. A node that can't be loaded is reported in the log, and the others are registered."""

from __future__ import annotations

import importlib

from ..nanobanana.errors import Log
from ._host import ComfyExtension, io

_log = Log(__name__)

_NODES = (
    ("generate", "NanoBananaGatewayGenerate"),
    ("edit", "NanoBananaGatewayEdit"),
    ("connection", "NanoBananaGatewayConnection"),
    ("prompts", "NanoBananaGatewayPrompts"),
    ("recall", "NanoBananaGatewayRecall"),
    ("pick", "NanoBananaGatewayPick"),
)


class NanoBananaExtension(ComfyExtension):
    """What the host gets from `comfy_entrypoint`."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        _register_routes()
        nodes: list[type[io.ComfyNode]] = []
        for module, name in _NODES:
            if module == "edit" and not hasattr(io, "Autogrow"):
                _log.warning("NanoBanana Edit needs ComfyUI 0.8 or newer: update ComfyUI to have it. The others work.")
                continue
            try:
                node: type[io.ComfyNode] = getattr(importlib.import_module(f".{module}", __package__), name)
                # The host asks for the schema next, and a node that had none to give would cost it the others.
                node.GET_SCHEMA()
                nodes.append(node)
            except Exception:  # noqa: BLE001
                _log.error(
                    "NanoBanana: the node %s could not be loaded; the others are not affected", name, exc_info=True
                )
        return nodes


def _register_routes() -> None:
    """Here and not in `on_load`: hosts before 0.14 don't call that, and all call `get_node_list` before they serve."""
    try:
        importlib.import_module(".web_api.routes", __package__).register()
    except Exception:  # noqa: BLE001
        _log.error("NanoBanana: settings and history are not there in the browser; the nodes work", exc_info=True)
