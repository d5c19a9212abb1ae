"""What a workflow file says about its nodes, held against what a host says about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_graph import ON_CANVAS_ONLY, widget_names

# Before 0.33 this node gave nothing; the canvas adds the output that it has since.
OUTPUTS_NEWER_THAN_THE_FILE = {"PreviewImage"}


def socket_type_of(spec: list[Any]) -> str:
    """The type of an input's entry in `/object_info`, where a list of choices is a COMBO."""
    return "COMBO" if isinstance(spec[0], list) else spec[0]


def choices_of(spec: list[Any]) -> list[Any] | None:
    """What may be chosen, None where anything may."""
    if isinstance(spec[0], list):
        return spec[0]
    return spec[1].get("options") if len(spec) > 1 else None


def assert_fits(workflow: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """Every node of `workflow` is one that `info`, a host's `/object_info`, knows, with its sockets and values."""
    for node in workflow["nodes"]:
        if node["type"] in ON_CANVAS_ONLY:
            continue
        known, where = info[node["type"]], f"{node['id']} ({node['type']})"
        ours = node["type"].startswith("NanoBananaGateway")
        assert node["properties"]["Node name for S&R"] == node["type"]
        assert node["properties"]["cnr_id"] == ("nanobanana-gateway" if ours else "comfy-core")
        assert node["properties"]["ver"]
        outputs = [(one["name"], one["type"]) for one in node["outputs"]]
        if outputs or node["type"] not in OUTPUTS_NEWER_THAN_THE_FILE:
            assert outputs == list(zip(known["output_name"], known["output"], strict=True)), where
        inputs = {**known["input"]["required"], **known["input"].get("optional", {})}
        for socket in node["inputs"]:
            name, _, grown = socket["name"].partition(".")
            if grown:
                assert grown in inputs[name][1]["template"]["names"], where
            else:
                assert socket["type"] == socket_type_of(inputs[name]), f"{where}.{name}"
        for name, value in zip(widget_names(known), node["widgets_values"], strict=True):
            spec = inputs[name.split(".")[0]]
            choices, options = choices_of(spec), spec[1] if len(spec) > 1 else {}
            if name.endswith(".control_after_generate"):
                assert value == "fixed", "a template that buys another image on every run surprises people"
            elif choices is not None:
                assert value in choices, f"{where}.{name}"
            elif spec[0] in ("INT", "FLOAT"):
                assert options["min"] <= value <= options["max"], f"{where}.{name}"
