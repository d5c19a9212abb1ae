"""A workflow file (what the canvas saves) as an API graph (what `POST /prompt` takes), as the frontend converts it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ObjectInfo = Mapping[str, Any]
Graph = dict[str, dict[str, Any]]

ON_CANVAS_ONLY: Final = frozenset({"Note", "MarkdownNote"})
# Nodes that load a model file of the person's, and the input that names the file.
MODEL_LOADERS: Final = {"UpscaleModelLoader": "model_name", "CheckpointLoaderSimple": "ckpt_name"}
_WIDGET_TYPES: Final = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
_MUTED: Final = 2
_ALWAYS: Final = 0


class WorkflowError(Exception):
    """The workflow doesn't fit the nodes that the host has."""


def read_workflow(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def widget_names(info: Mapping[str, Any]) -> list[str]:
    """Names of a node's entries in `widgets_values`, in their order; `info` is its entry in `/object_info`.

    A widget that the frontend adds on its own (what happens to a seed after a run, the upload button) has the name
    of the input it belongs to, with a suffix.
    """
    names: list[str] = []
    for group in ("required", "optional"):
        inputs: Mapping[str, Any] = info["input"].get(group, {})
        for name in info["input_order"].get(group, []):
            io_type: str | list[Any] = inputs[name][0]
            options: Mapping[str, Any] = inputs[name][1] if len(inputs[name]) > 1 else {}
            if options.get("forceInput") or not (isinstance(io_type, list) or io_type in _WIDGET_TYPES):
                continue
            names.append(name)
            if io_type == "INT" and options.get("control_after_generate", name in ("seed", "noise_seed")):
                names.append(f"{name}.control_after_generate")
            if options.get("image_upload"):
                names.append(f"{name}.upload")
    return names


def missing_model(workflow: Mapping[str, Any], object_info: ObjectInfo) -> str:
    """The name of a model file that the workflow loads and the host doesn't have; empty when it has all of them."""
    for node in workflow["nodes"]:
        name = MODEL_LOADERS.get(node["type"])
        if name is not None:
            wanted = str(node["widgets_values"][0])
            spec = object_info.get(node["type"], {}).get("input", {}).get("required", {}).get(name, [[]])
            files = spec[0] if isinstance(spec[0], list) else spec[1]["options"]
            if wanted not in files:
                return wanted
    return ""


def to_api_graph(workflow: Mapping[str, Any], object_info: ObjectInfo) -> Graph:
    """Every node that runs, by id: its `class_type`, its `inputs` and, as `_meta`, its title.

    Raises:
        WorkflowError: a node that the host doesn't have, a bypassed node, more or fewer widget values than the node
            has widgets, or a link from nowhere.
    """
    links = {link[0]: link for link in workflow["links"]}
    nodes = {node["id"]: node for node in workflow["nodes"] if node["type"] not in ON_CANVAS_ONLY}
    running = {node_id: node for node_id, node in nodes.items() if node.get("mode", _ALWAYS) != _MUTED}
    graph: Graph = {}
    for node_id, node in running.items():
        where = f"node {node_id} ({node['type']})"
        if node.get("mode", _ALWAYS) != _ALWAYS:
            raise WorkflowError(f"{where} is bypassed, which is not supported here")
        info = object_info.get(node["type"])
        if info is None:
            raise WorkflowError(f"{where} is not known to the host")
        names, values = widget_names(info), node.get("widgets_values", [])
        # A workflow that is older than a node's last inputs leaves them at their defaults.
        newer = names[len(values) :]
        if len(names) < len(values) or not set(newer) <= set(info["input"].get("optional", {})):
            raise WorkflowError(f"{where} has {len(values)} widget values for the widgets {', '.join(names) or 'none'}")
        inputs = {name: value for name, value in zip(names, values, strict=False) if "." not in name}
        for socket in node.get("inputs", []):
            if socket.get("link") is None:
                continue
            link = links.get(socket["link"])
            if link is None or link[1] not in nodes:
                raise WorkflowError(f"{where} has a link from nowhere at {socket['name']}")
            if link[1] in running:
                inputs[socket["name"]] = [str(link[1]), link[2]]
        title = node.get("title") or info.get("display_name") or node["type"]
        graph[str(node_id)] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return graph
