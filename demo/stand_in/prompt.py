"""An API graph: its links, its check before anything runs, and the values that a node is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .io_autogrow import AutogrowInput
from .io_node import ComfyNode, Schema, optional

Prompt = dict[str, dict[str, Any]]
Nodes = Mapping[str, type[ComfyNode]]


class InvalidPrompt(Exception):
    """The host would have answered 400. `errors`: (node id, kind, details), kinds as the host names them."""

    def __init__(self, errors: list[tuple[str, str, str]]) -> None:
        super().__init__("; ".join(f"node {node}: {kind}: {details}" for node, kind, details in errors))
        self.errors = errors


@dataclass(frozen=True)
class Socket:
    """An input as this prompt needs it: Autogrow inputs are one socket for each name, keyed `id.name`."""

    io_type: str
    options: dict[str, Any]
    required: bool


def is_link(value: Any) -> bool:
    """True for `[node id, output number]`."""
    return (
        isinstance(value, list)
        and len(value) == 2  # pyright: ignore[reportUnknownArgumentType]
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def sockets(schema: Schema) -> dict[str, Socket]:
    """Every input that a prompt may hold for a node of this schema, by key."""
    found: dict[str, Socket] = {}
    for one in schema.inputs:
        if isinstance(one, AutogrowInput):
            template = one.template
            for number, name in enumerate(template.names):
                group, options = template.grown(number)
                found[f"{one.id}.{name}"] = Socket(template.input.served_type(), options, group == "required")
        else:
            found[one.id] = Socket(one.served_type(), one.served_options(), not one.optional)
    return found


def nested(schema: Schema, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with the dotted keys of Autogrow inputs gathered in dicts, as `execute` gets them."""
    result = dict(values)
    for one in schema.inputs:
        if isinstance(one, AutogrowInput):
            keys = [f"{one.id}.{name}" for name in one.template.names]
            result[one.id] = {key.split(".", 1)[1]: result.pop(key) for key in keys if key in result}
    return result


def link_targets(node: dict[str, Any]) -> list[str]:
    """Ids of the nodes that `node` is wired to."""
    return [value[0] for value in node["inputs"].values() if is_link(value)]


def check(prompt: Prompt, nodes: Nodes) -> list[str]:
    """Ids of the output nodes of a valid prompt; numbers and texts are converted in place, as the host does.

    Raises:
        InvalidPrompt: with every error found in nodes that an output node needs.
    """
    missing = [(node_id, "missing_node_type", str(node.get("class_type"))) for node_id, node in prompt.items()]
    missing = [error for error in missing if error[2] not in nodes]
    if missing:
        raise InvalidPrompt(missing)
    outputs = [node_id for node_id, node in prompt.items() if nodes[node["class_type"]].GET_SCHEMA().is_output_node]
    if not outputs:
        raise InvalidPrompt([("", "prompt_no_outputs", "Prompt has no outputs")])
    errors: list[tuple[str, str, str]] = []
    done: set[str] = set()
    for node_id in outputs:
        _check_node(prompt, nodes, node_id, (), done, errors)
    if errors:
        raise InvalidPrompt(errors)
    return outputs


def _check_node(
    prompt: Prompt,
    nodes: Nodes,
    node_id: str,
    path: tuple[str, ...],
    done: set[str],
    errors: list[tuple[str, str, str]],
) -> None:
    if node_id in path:
        errors.append((node_id, "dependency_cycle", " -> ".join([*path[path.index(node_id) :], node_id])))
        return
    if node_id in done:
        return
    done.add(node_id)
    node = prompt[node_id]
    node_class = nodes[node["class_type"]]
    known = sockets(node_class.GET_SCHEMA())
    inputs: dict[str, Any] = node["inputs"]
    errors += [(node_id, "unknown_input", key) for key in inputs if key not in known]
    own = optional(node_class, "validate_inputs")
    own_names = inspect.getfullargspec(own).args if own else []
    for key, socket in known.items():
        if key not in inputs:
            if socket.required:
                errors.append((node_id, "required_input_missing", key))
        elif isinstance(inputs[key], list):
            problem = _link_problem(prompt, nodes, inputs[key], socket)
            if problem:
                errors.append((node_id, problem, key))
            else:
                _check_node(prompt, nodes, inputs[key][0], (*path, node_id), done, errors)
        else:
            problem = _value_problem(inputs, key, socket, unchecked=key in own_names)
            if problem:
                errors.append((node_id, problem, f"{key} = {inputs[key]!r}"))
    if own:
        values = {key: None if is_link(value) else value for key, value in inputs.items()}
        given = {key: value for key, value in nested(node_class.GET_SCHEMA(), values).items() if key in own_names}
        verdict = own(**given)
        if verdict is not True:
            errors.append((node_id, "custom_validation_failed", str(verdict)))


def _link_problem(prompt: Prompt, nodes: Nodes, link: list[Any], socket: Socket) -> str:
    if not is_link(link) or link[0] not in prompt:
        return "bad_linked_input"
    outputs = nodes[prompt[link[0]]["class_type"]].GET_SCHEMA().output_types
    if not 0 <= link[1] < len(outputs):
        return "bad_linked_input"
    given, wanted = set(outputs[int(link[1])].split(",")), set(socket.io_type.split(","))
    return "" if given & wanted or "*" in given | wanted else "return_type_mismatch"


_CONVERSIONS: dict[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def _value_problem(inputs: dict[str, Any], key: str, socket: Socket, unchecked: bool) -> str:
    convert = _CONVERSIONS.get(socket.io_type)
    if convert is None and socket.io_type != "COMBO":
        return "invalid_input_type"
    if convert is not None:
        try:
            inputs[key] = convert(inputs[key])
        except (TypeError, ValueError):
            return "invalid_input_type"
    value, options = inputs[key], socket.options
    if unchecked:
        return ""
    if "min" in options and value < options["min"]:
        return "value_smaller_than_min"
    if "max" in options and value > options["max"]:
        return "value_bigger_than_max"
    if socket.io_type == "COMBO" and value not in (options.get("options") or []):
        return "value_not_in_list"
    return ""
