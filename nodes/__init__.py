"""The pack's face in ComfyUI. A node that can't be loaded is reported in the log, and the others are registered."""

from __future__ import annotations

import importlib
import logging

from ._host import ComfyExtension, io

_log = logging.getLogger(__name__)

_NODES = (
    ("generate", "NanoBananaGatewayGenerate"),
    ("edit", "NanoBananaGatewayEdit"),
    ("connection", "NanoBananaGatewayConnection"),
    ("prompts", "NanoBananaGatewayPrompts"),
    ("recall", "NanoBananaGatewayRecall"),
)


class NanoBananaExtension(ComfyExtension):
    """What the host gets from `comfy_entrypoint`."""

    async def on_load(self) -> None:
        try:
            importlib.import_module(".web_api.routes", __package__).register()
        except Exception:  # noqa: BLE001
            _log.exception("NanoBanana: settings and history are not there in the browser; the nodes work")

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        nodes: list[type[io.ComfyNode]] = []
        for module, name in _NODES:
            try:
                node: type[io.ComfyNode] = getattr(importlib.import_module(f".{module}", __package__), name)
                nodes.append(node)
            except Exception:  # noqa: BLE001
                _log.exception("NanoBanana: the node %s could not be loaded; the others are not affected", name)
        return nodes
