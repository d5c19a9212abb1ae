"""Node ids, inputs and outputs are in people's workflows: they never change, and inputs are only ever appended.

When this test fails, fix the node and not `frozen_nodes.json`. The file changes only when a node is new, or has a new
input behind all others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn
from workflow_graph import widget_names

FROZEN = json.loads((Path(__file__).parent / "frozen_nodes.json").read_text(encoding="utf-8"))
# Options of an input that a saved value depends on; words and tooltips may change.
KEPT = ("min", "max", "default", "options", "control_after_generate", "multiline")


def shape(info: dict[str, Any]) -> dict[str, Any]:
    """What a saved workflow depends on, of a node's entry in `/object_info`."""
    inputs: dict[str, Any] = {}
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            io_type, options = info["input"][group][name]
            kept = {key: options[key] for key in KEPT if key in options}
            if "template" in options:
                template = options["template"]
                kept |= {"names": template["names"], "min": template["min"], "of": template["input"]}
                kept["of"] = {part: {key: value[0] for key, value in of.items()} for part, of in kept["of"].items()}
            inputs[name] = {"type": io_type, "group": group, **kept}
    outputs = zip(info["output_name"], info["output"], info["output_is_list"], strict=True)
    return {
        "category": info["category"],
        "display_name": info["display_name"],
        "inputs": inputs,
        "outputs": [[name, io_type, "list" if is_list else "one"] for name, io_type, is_list in outputs],
        "widgets": widget_names(info),
    }


@pytest.fixture
def ours(stand_in: StandIn) -> dict[str, Any]:
    info = stand_in.object_info()
    return {name: node for name, node in info.items() if node["python_module"] == "custom_nodes.nanobanana-gateway"}


def test_nodes_are_as_frozen(ours: dict[str, Any]) -> None:
    assert {name: shape(info) for name, info in ours.items()} == FROZEN


def test_inputs_and_widgets_keep_their_order(ours: dict[str, Any]) -> None:
    for name, frozen in FROZEN.items():
        assert list(shape(ours[name])["inputs"]) == list(frozen["inputs"])
        assert widget_names(ours[name]) == frozen["widgets"]


def test_every_input_and_output_is_explained(ours: dict[str, Any]) -> None:
    for name, info in ours.items():
        assert info["description"], name
        assert info["search_aliases"], name
        assert all(info["output_tooltips"]), name
        for group in ("required", "optional"):
            for key, (_, options) in info["input"].get(group, {}).items():
                if "template" in options:
                    (_, options), *_ = options["template"]["input"]["required"].values()
                assert options.get("tooltip"), f"{name}.{key}"


def test_no_node_is_an_api_node(ours: dict[str, Any]) -> None:
    assert not any(info["api_node"] for info in ours.values())


def test_the_nodes_load_in_the_oldest_supported_host(stand_in: StandIn, tmp_path: Path) -> None:
    current = stand_in.object_info()
    stand_in.__exit__()
    root = Path(__file__).resolve().parent.parent
    with StandIn({"nanobanana-gateway": root}, tmp_path / "floor", floor=True) as floor:
        info = floor.object_info()
    assert {name: shape(info[name]) for name in FROZEN} == {name: shape(current[name]) for name in FROZEN}
