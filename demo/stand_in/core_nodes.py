"""The few core nodes that the example workflows and the tests use: ComfyUI's ids, inputs and results, little more."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from .io_node import ComfyNode, NodeOutput, Schema
from .io_types import ComboInput, ComfyType, FloatInput, IntInput, StringInput, UploadType, socket_type
from .state import HostState

LARGEST_SIDE = 16384
_Image: type[ComfyType] = socket_type("IMAGE")
_Mask: type[ComfyType] = socket_type("MASK")
_String: type[ComfyType] = socket_type("STRING", StringInput)
_Any: type[ComfyType] = socket_type("*")
_UPSCALE_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _side(name: str) -> IntInput:
    return IntInput(name, default=512, min=1, max=LARGEST_SIDE, step=1)


def _to_image(tensor: torch.Tensor) -> Image.Image:
    """A tensor [H,W,C] float 0..1 as an image."""
    levels: NDArray[np.uint8] = (tensor.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(levels.squeeze())


def _to_tensor(loaded: Image.Image) -> torch.Tensor:
    """An image as a tensor of its size, float 0..1."""
    return torch.tensor(np.asarray(loaded), dtype=torch.float32) / 255


class EmptyImage(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        color = IntInput("color", default=0, min=0, max=0xFFFFFF, step=1, display_mode=None)
        inputs = [_side("width"), _side("height"), IntInput("batch_size", default=1, min=1, max=4096), color]
        return Schema(node_id="EmptyImage", category="image", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, width: int, height: int, batch_size: int, color: int) -> NodeOutput:
        levels = torch.tensor([color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF], dtype=torch.float32) / 255
        return NodeOutput(levels.expand(batch_size, height, width, 3).clone())


class ImageBatch(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_Image.Input("image1"), _Image.Input("image2")]
        return Schema(node_id="ImageBatch", category="image", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, image1: torch.Tensor, image2: torch.Tensor) -> NodeOutput:
        if image1.shape[1:] != image2.shape[1:]:
            raise ValueError("the stand-in batches images of one size only")
        return NodeOutput(torch.cat((image1, image2), dim=0))


class RebatchImages(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_Image.Input("images"), IntInput("batch_size", default=1, min=1, max=4096)]
        outputs = [_Image.Output(is_output_list=True)]
        return Schema(
            node_id="RebatchImages", category="image/batch", is_input_list=True, inputs=inputs, outputs=outputs
        )

    @classmethod
    def execute(cls, images: list[torch.Tensor], batch_size: list[int]) -> NodeOutput:
        joined, size = torch.cat(images), batch_size[0]
        return NodeOutput([joined[start : start + size] for start in range(0, joined.shape[0], size)])


class ImageFromBatch(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        index = IntInput("batch_index", default=0, min=-LARGEST_SIDE, max=LARGEST_SIDE)
        inputs = [_Image.Input("image"), index, IntInput("length", default=1, min=1, max=4096)]
        return Schema(node_id="ImageFromBatch", category="image/batch", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, image: torch.Tensor, batch_index: int, length: int) -> NodeOutput:
        start = batch_index + image.shape[0] if batch_index < 0 else batch_index
        start = max(0, min(image.shape[0] - 1, start))
        return NodeOutput(image[start : start + length].clone())


class ImageScaleBy(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [
            _Image.Input("image"),
            ComboInput("upscale_method", options=list(_UPSCALE_METHODS)),
            FloatInput("scale_by", default=1.0, min=0.01, max=8.0, step=0.01),
        ]
        return Schema(node_id="ImageScaleBy", category="image", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, image: torch.Tensor, upscale_method: str, scale_by: float) -> NodeOutput:
        size = round(image.shape[2] * scale_by), round(image.shape[1] * scale_by)
        method = _UPSCALE_METHODS[upscale_method]
        return NodeOutput(torch.stack([_to_tensor(_to_image(one).resize(size, method)) for one in image]))


class SolidMask(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        value = FloatInput("value", default=1.0, min=0.0, max=1.0, step=0.01)
        inputs = [value, _side("width"), _side("height")]
        return Schema(node_id="SolidMask", category="image/mask", inputs=inputs, outputs=[_Mask.Output()])

    @classmethod
    def execute(cls, value: float, width: int, height: int) -> NodeOutput:
        return NodeOutput(torch.full((1, height, width), value))


class MaskComposite(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [
            _Mask.Input("destination"),
            _Mask.Input("source"),
            IntInput("x", default=0, min=0, max=LARGEST_SIDE, step=1),
            IntInput("y", default=0, min=0, max=LARGEST_SIDE, step=1),
            ComboInput("operation", options=["multiply", "add", "subtract", "and", "or", "xor"]),
        ]
        return Schema(node_id="MaskComposite", category="image/mask", inputs=inputs, outputs=[_Mask.Output()])

    @classmethod
    def execute(cls, destination: torch.Tensor, source: torch.Tensor, x: int, y: int, operation: str) -> NodeOutput:
        if operation not in ("add", "subtract", "multiply"):
            raise ValueError(f"the stand-in can't combine masks by {operation!r}")
        result = destination.reshape(-1, *destination.shape[-2:]).clone()
        under = result[:, y : y + source.shape[-2], x : x + source.shape[-1]]
        over = source.reshape(-1, *source.shape[-2:])[:, : under.shape[1], : under.shape[2]]
        combined = {"add": under + over, "subtract": under - over, "multiply": under * over}[operation]
        under.copy_(combined)
        return NodeOutput(result.clamp(0, 1))


class PreviewAny(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_Any.Input("source")]
        outputs = [_String.Output()]
        return Schema(node_id="PreviewAny", category="utilities", inputs=inputs, outputs=outputs, is_output_node=True)

    @classmethod
    def execute(cls, source: Any) -> NodeOutput:
        return NodeOutput(str(source), ui={"text": (str(source),)})


def core_nodes(state: HostState) -> list[type[ComfyNode]]:
    """The nodes above, and those that read and write the folders of this stand-in."""

    class LoadImage(ComfyNode):
        @classmethod
        def define_schema(cls) -> Schema:
            files = sorted(path.name for path in state.directory("input").iterdir() if path.is_file())
            inputs = [ComboInput("image", options=files, upload=UploadType.image)]
            outputs = [_Image.Output(), _Mask.Output()]
            return Schema(node_id="LoadImage", category="image", inputs=inputs, outputs=outputs)

        @classmethod
        def fingerprint_inputs(cls, image: str) -> int:
            return (state.directory("input") / image).stat().st_mtime_ns

        @classmethod
        def execute(cls, image: str) -> NodeOutput:
            path = state.directory("input") / image
            loaded: Image.Image = ImageOps.exif_transpose(Image.open(BytesIO(path.read_bytes())))
            # As in the host: a mask of 64x64 zeros if the file has no alpha.
            mask = torch.zeros(64, 64)
            if "A" in loaded.getbands():
                mask = 1 - _to_tensor(loaded.getchannel("A"))
            return NodeOutput(_to_tensor(loaded.convert("RGB"))[None], mask[None])

    class SaveImage(ComfyNode):
        @classmethod
        def define_schema(cls) -> Schema:
            inputs = [_Image.Input("images"), _String.Input("filename_prefix", default="ComfyUI")]
            outputs = [_Image.Output("images")]
            return Schema(node_id="SaveImage", category="image", inputs=inputs, outputs=outputs, is_output_node=True)

        @classmethod
        def execute(cls, images: torch.Tensor, filename_prefix: str) -> NodeOutput:
            prompt = cls.hidden.prompt if cls.hidden else None
            return NodeOutput(images, ui={"images": _save(images, state.directory("output"), filename_prefix, prompt)})

    class PreviewImage(ComfyNode):
        @classmethod
        def define_schema(cls) -> Schema:
            return Schema(
                node_id="PreviewImage", category="image", inputs=[_Image.Input("images")], is_output_node=True
            )

        @classmethod
        def execute(cls, images: torch.Tensor) -> NodeOutput:
            prompt = cls.hidden.prompt if cls.hidden else None
            return NodeOutput(ui={"images": _save(images, state.directory("temp"), "preview", prompt)})

    plain: list[type[ComfyNode]] = [EmptyImage, ImageBatch, ImageScaleBy, SolidMask, MaskComposite, PreviewAny]
    batches: list[type[ComfyNode]] = [RebatchImages, ImageFromBatch]
    return [*plain, *batches, LoadImage, SaveImage, PreviewImage]


def _save(images: torch.Tensor, folder: Path, prefix: str, prompt: Any) -> list[dict[str, str]]:
    """Write `images` [B,H,W,C] float 0..1 as PNG files that hold the prompt, as the host's do."""
    target = folder / prefix
    target.parent.mkdir(parents=True, exist_ok=True)
    saved: list[dict[str, str]] = []
    for image in images:
        number = len(list(target.parent.glob(f"{target.name}_*.png"))) + 1
        path = target.with_name(f"{target.name}_{number:05}_.png")
        metadata = PngInfo()
        metadata.add_text("prompt", json.dumps(prompt))
        _to_image(image).save(path, pnginfo=metadata, compress_level=1)
        subfolder = path.parent.relative_to(folder).as_posix()
        saved.append({"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": folder.name})
    return saved
