"""Graphs for the tests of nodes: what goes into the stand-in host, and what comes out."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import torch
from stand_in import StandIn
from stand_in.execution import Run
from stand_in.io_node import ComfyNode, NodeOutput, Schema
from stand_in.io_types import FloatInput, IntInput, socket_type

IMAGE = socket_type("IMAGE")
# The name that a host gives to the pack: its folder.
PACK = str(Path(__file__).resolve().parent.parent).replace(".", "_x_")


def loaded(name: str) -> Any:
    """A module of the pack as the running stand-in has loaded it; `conftest` loads another one, as `pack`."""
    return importlib.import_module(f"{PACK}.{name}")


class Sleep(ComfyNode):
    """A local node that blocks the loop, as a sampler does, and may fail."""

    @classmethod
    def define_schema(cls) -> Schema:
        return Schema(
            node_id="TestSleep",
            inputs=[
                FloatInput("seconds", default=1.0, min=0, max=60),
                IntInput("fail", default=0, min=0, max=1),
                IntInput("tag", default=0, min=0, max=2**60),
            ],
            outputs=[IMAGE.Output("image")],
        )

    @classmethod
    def execute(cls, seconds: float, fail: int, tag: int) -> NodeOutput:  # noqa: ARG003
        time.sleep(seconds)
        if fail:
            raise RuntimeError("the local node failed")
        return NodeOutput(torch.zeros(1, 8, 8, 3))


class Sampler(ComfyNode):
    """A local node that looks at the host's cancel flag `every` so many seconds, and takes it, as samplers do."""

    @classmethod
    def define_schema(cls) -> Schema:
        return Schema(
            node_id="TestSampler",
            inputs=[
                FloatInput("seconds", default=1.0, min=0, max=60),
                FloatInput("every", default=0.0, min=0, max=60),
                IntInput("tag", default=0, min=0, max=2**60),
            ],
            outputs=[IMAGE.Output("image")],
        )

    @classmethod
    def execute(cls, seconds: float, every: float, tag: int) -> NodeOutput:  # noqa: ARG003
        look = sys.modules["comfy.model_management"].throw_exception_if_processing_interrupted
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            look()
            time.sleep(every)
        return NodeOutput(torch.zeros(1, 8, 8, 3))


class GivenImage(ComfyNode):
    """IMAGE tensors that a test hands over."""

    given: dict[int, torch.Tensor] = {}

    @classmethod
    def define_schema(cls) -> Schema:
        return Schema(
            node_id="TestGivenImage",
            inputs=[IntInput("which", default=0, min=0, max=2**60)],
            outputs=[IMAGE.Output("image")],
        )

    @classmethod
    def execute(cls, which: int) -> NodeOutput:
        return NodeOutput(GivenImage.given[which])


def generate(prompt: Any, **inputs: Any) -> dict[str, Any]:
    values = {"model": "NanoBananaPro-1K", "aspect_ratio": "16:9", "output_format": "png", "count": 1, "seed": 1}
    return {"class_type": "NanoBananaGatewayGenerate", "inputs": {"prompt": prompt, **values, **inputs}}


def edit(prompt: str, *images: list[Any], **inputs: Any) -> dict[str, Any]:
    values = {"model": "NanoBananaPro-1K", "aspect_ratio": "auto", "output_format": "png", "count": 1, "seed": 1}
    wired = {f"images.image_{number}": image for number, image in enumerate(images, start=1)}
    return {"class_type": "NanoBananaGatewayEdit", "inputs": {"prompt": prompt, **wired, **values, **inputs}}


def shown(node: str, output: int = 0) -> dict[str, Any]:
    """An output node, so that the host runs what leads to it."""
    return {"class_type": "PreviewAny", "inputs": {"source": [node, output]}}


def run(host: StandIn, node: dict[str, Any], **others: dict[str, Any]) -> Run:
    """Run `node` under the id "1", with `others` beside it."""
    return host.run({"1": node, "out": shown("1"), **others})


def images(result: Run, node: str = "1") -> list[torch.Tensor]:
    assert result.status == "success", result.failure
    return result.outputs[node][0]
