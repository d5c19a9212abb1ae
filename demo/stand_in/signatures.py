"""What a cached output's validity depends on: class, fingerprint and inputs of its node and all nodes before it."""

from __future__ import annotations

import inspect
from typing import Any

from .io_node import ComfyNode, Hidden, Schema, locked_clone, optional, required
from .prompt import Nodes, Prompt, is_link, nested


def hidden_values(schema: Schema, node_id: str, prompt: Prompt) -> dict[Hidden, Any]:
    """The hidden values that a node of this schema asked for; those the stand-in doesn't know are None."""
    values: dict[Hidden, Any] = {Hidden.unique_id: node_id, Hidden.prompt: prompt}
    return {key: values.get(key) for key in schema.hidden}


async def signatures(prompt: Prompt, nodes: Nodes) -> dict[str, Any]:
    """For each node of `prompt`, a value that equals an earlier prompt's exactly if its outputs may be used again."""
    found: dict[str, Any] = {}

    async def signature(node_id: str) -> Any:
        if node_id not in found:
            node, inputs = nodes[prompt[node_id]["class_type"]], prompt[node_id]["inputs"]
            schema = node.GET_SCHEMA()
            # Not for a node that asks for its id, although the host means to: it looks for V1's form of hidden inputs.
            own = node_id if schema.not_idempotent else ""
            parts: list[Any] = [schema.node_id, own, await _fingerprint(node, schema, node_id, prompt)]
            for key, value in sorted(inputs.items()):
                parts.append((key, (await signature(value[0]), value[1]) if is_link(value) else repr(value)))
            found[node_id] = tuple(parts)
        return found[node_id]

    for node_id in prompt:
        await signature(node_id)
    return found


async def _fingerprint(node: type[ComfyNode], schema: Schema, node_id: str, prompt: Prompt) -> Any:
    if optional(node, "fingerprint_inputs") is None:
        return False
    # Constants only: wired values don't exist yet.
    constants = {key: None if is_link(value) else value for key, value in prompt[node_id]["inputs"].items()}
    method = required(locked_clone(node, hidden_values(schema, node_id, prompt)), "fingerprint_inputs")
    try:
        value = method(**nested(schema, constants))
        return repr(await value if inspect.isawaitable(value) else value)
    except Exception:  # noqa: BLE001 - as in the host: a fingerprint that fails never equals another
        return object()
