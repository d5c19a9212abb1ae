"""The core nodes around local models, with no model behind them: images take the same path, in the same shapes.

A latent here holds 8x8 pixels as its channels, so decoding undoes encoding. The sampler mixes its input with soft
clouds of the seed's colours, as much as `denoise` says.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from .io_node import ComfyNode, NodeOutput, Schema
from .io_types import ComboInput, ComfyType, FloatInput, IntInput, StringInput, socket_type

UPSCALE_MODELS: Final = ("RealESRGAN_x4plus.safetensors",)
CHECKPOINTS: Final = ("v1-5-pruned-emaonly-fp16.safetensors",)

_LARGEST_SIDE: Final = 16384
_PIXELS: Final = 8
"""Pixels that a latent's cell stands for, in each direction."""
_UPSCALED: Final = 4

_Image: type[ComfyType] = socket_type("IMAGE")
_Latent: type[ComfyType] = socket_type("LATENT")
_Model: type[ComfyType] = socket_type("MODEL")
_Clip: type[ComfyType] = socket_type("CLIP")
_Vae: type[ComfyType] = socket_type("VAE")
_Conditioning: type[ComfyType] = socket_type("CONDITIONING")
_UpscaleModel: type[ComfyType] = socket_type("UPSCALE_MODEL")

Latent = dict[str, torch.Tensor]
"""`samples`: [B, C, H/8, W/8]."""


class UpscaleModelLoader(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [ComboInput("model_name", options=list(UPSCALE_MODELS))]
        return Schema(node_id="UpscaleModelLoader", inputs=inputs, outputs=[_UpscaleModel.Output()])

    @classmethod
    def execute(cls, model_name: str) -> NodeOutput:
        return NodeOutput(model_name)


class ImageUpscaleWithModel(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_UpscaleModel.Input("upscale_model"), _Image.Input("image")]
        return Schema(node_id="ImageUpscaleWithModel", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, image: torch.Tensor, **_model: Any) -> NodeOutput:
        larger = interpolate(image.movedim(-1, 1), scale_factor=_UPSCALED, mode="bicubic", antialias=True)
        return NodeOutput(larger.clamp(0, 1).movedim(1, -1))


class CheckpointLoaderSimple(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        outputs = [_Model.Output(), _Clip.Output(), _Vae.Output()]
        inputs = [ComboInput("ckpt_name", options=list(CHECKPOINTS))]
        return Schema(node_id="CheckpointLoaderSimple", inputs=inputs, outputs=outputs)

    @classmethod
    def execute(cls, ckpt_name: str) -> NodeOutput:
        return NodeOutput(ckpt_name, ckpt_name, ckpt_name)


class CLIPTextEncode(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [StringInput("text", multiline=True, dynamic_prompts=True), _Clip.Input("clip")]
        return Schema(node_id="CLIPTextEncode", inputs=inputs, outputs=[_Conditioning.Output()])

    @classmethod
    def execute(cls, text: str, **_model: Any) -> NodeOutput:
        return NodeOutput(text)


class EmptyLatentImage(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        sides = [IntInput(name, default=512, min=16, max=_LARGEST_SIDE, step=8) for name in ("width", "height")]
        inputs = [*sides, IntInput("batch_size", default=1, min=1, max=4096)]
        return Schema(node_id="EmptyLatentImage", inputs=inputs, outputs=[_Latent.Output()])

    @classmethod
    def execute(cls, width: int, height: int, batch_size: int) -> NodeOutput:
        return NodeOutput({"samples": torch.zeros(batch_size, 4, height // _PIXELS, width // _PIXELS)})


class KSampler(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [
            _Model.Input("model"),
            IntInput("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True),
            IntInput("steps", default=20, min=1, max=10000),
            FloatInput("cfg", default=8.0, min=0.0, max=100.0, step=0.1, round=0.01),
            ComboInput("sampler_name", options=["euler", "dpmpp_2m"]),
            ComboInput("scheduler", options=["normal", "karras"]),
            _Conditioning.Input("positive"),
            _Conditioning.Input("negative"),
            _Latent.Input("latent_image"),
            FloatInput("denoise", default=1.0, min=0.0, max=1.0, step=0.01),
        ]
        return Schema(node_id="KSampler", inputs=inputs, outputs=[_Latent.Output()])

    @classmethod
    def execute(cls, seed: int, latent_image: Latent, denoise: float, **_others: Any) -> NodeOutput:
        samples = latent_image["samples"]
        batch, _, height, width = samples.shape
        random = torch.Generator().manual_seed(seed % 2**63)
        few = 0.25 + 0.5 * torch.rand(batch, 3, 4, 4, generator=random)
        size = (height * _PIXELS, width * _PIXELS)
        clouds = interpolate(few, size=size, mode="bicubic", align_corners=True).clamp(0, 1)
        painted = pixel_unshuffle(clouds, _PIXELS)
        if samples.shape != painted.shape:
            # An empty latent has four channels, whatever the model; the host widens it too.
            samples = torch.zeros_like(painted)
        return NodeOutput({"samples": samples * (1 - denoise) + painted * denoise})


class VAEDecode(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_Latent.Input("samples"), _Vae.Input("vae")]
        return Schema(node_id="VAEDecode", inputs=inputs, outputs=[_Image.Output()])

    @classmethod
    def execute(cls, samples: Latent, **_model: Any) -> NodeOutput:
        return NodeOutput(pixel_shuffle(samples["samples"], _PIXELS).movedim(1, -1))


class VAEEncode(ComfyNode):
    @classmethod
    def define_schema(cls) -> Schema:
        inputs = [_Image.Input("pixels"), _Vae.Input("vae")]
        return Schema(node_id="VAEEncode", inputs=inputs, outputs=[_Latent.Output()])

    @classmethod
    def execute(cls, pixels: torch.Tensor, **_model: Any) -> NodeOutput:
        height, width = (side // _PIXELS * _PIXELS for side in pixels.shape[1:3])
        return NodeOutput({"samples": pixel_unshuffle(pixels[:, :height, :width, :3].movedim(-1, 1), _PIXELS)})


def model_nodes() -> list[type[ComfyNode]]:
    loaders: list[type[ComfyNode]] = [UpscaleModelLoader, CheckpointLoaderSimple]
    latents: list[type[ComfyNode]] = [CLIPTextEncode, EmptyLatentImage, KSampler, VAEDecode, VAEEncode]
    return [*loaders, ImageUpscaleWithModel, *latents]
