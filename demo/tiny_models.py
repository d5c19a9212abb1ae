"""Model files that ComfyUI loads like any other but that hold next to nothing, so the examples with local models run
on a machine that has none.

Their images aren't pretty. The upscaler repeats pixels. The checkpoint's sampler leaves the noise as it is, so an image
from nothing is noise, and an image from another is that one under noise. Its autoencoder is real: latents are mean
colours of 8x8 pixels.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

UPSCALE_MODEL: Final = "RealESRGAN_x4plus.safetensors"
CHECKPOINT: Final = "v1-5-pruned-emaonly-fp16.safetensors"

Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, NDArray[np.float32]]

_LATENT_CHANNELS: Final = 16
_WIDTH: Final = 64
"""The width of the autoencoder's layers, which is fixed, and of the transformer's, whose minimum it is."""


def place_tiny_models(models: Path) -> None:
    """Write both files where a ComfyUI whose models are in `models` looks for them."""
    write_safetensors(models / "upscale_models" / UPSCALE_MODEL, upscaler(), {})
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in transformer_shapes().items()}
    shapes |= {f"text_encoders.clip_l.transformer.{name}": shape for name, shape in text_encoder_shapes().items()}
    weights = {f"first_stage_model.{name}": values for name, values in autoencoder().items()}
    write_safetensors(models / "checkpoints" / CHECKPOINT, weights, shapes)


def write_safetensors(path: Path, weights: Mapping[str, NDArray[np.float32]], zeros: Shapes) -> None:
    """A safetensors file: `weights` as 32-bit numbers, then 16-bit zeros, which take no room on most disks."""
    header: dict[str, dict[str, object]] = {}
    at = 0
    for name, values in weights.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.size * 4]}
        at += values.size * 4
    for name, shape in zeros.items():
        size = int(np.prod(shape)) * 2
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    described = json.dumps(header).encode()
    # The numbers begin at a multiple of eight.
    described += b" " * (-len(described) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(described)) + described)
        for values in weights.values():
            file.write(values.astype("<f4").tobytes())
        file.truncate(8 + len(described) + at)


def upscaler() -> Weights:
    """Real-ESRGAN's compact network, four times larger, four features wide: adds nothing to the repeated pixels."""
    shapes: Shapes = {"body.0.weight": (4, 3, 3, 3), "body.0.bias": (4,), "body.1.weight": (4,)}
    # Each output pixel is one of 4 x 4, in three colours.
    shapes |= {"body.2.weight": (48, 4, 3, 3), "body.2.bias": (48,)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def transformer_shapes() -> Shapes:
    """Stable Diffusion 3's transformer, one block deep: of all that ComfyUI knows, it shrinks furthest."""
    patch = 4 * _LATENT_CHANNELS
    shapes: Shapes = {
        "x_embedder.proj.weight": (_WIDTH, _LATENT_CHANNELS, 2, 2),
        "x_embedder.proj.bias": (_WIDTH,),
        # Room for images of up to 192 x 192 patches of 16 pixels.
        "pos_embed": (1, 192 * 192, _WIDTH),
    }
    layers = {
        "t_embedder.mlp.0": (256, _WIDTH),
        "t_embedder.mlp.2": (_WIDTH, _WIDTH),
        "y_embedder.mlp.0": (2048, _WIDTH),
        "y_embedder.mlp.2": (_WIDTH, _WIDTH),
        "context_embedder": (4096, _WIDTH),
        "joint_blocks.0.context_block.attn.qkv": (_WIDTH, 3 * _WIDTH),
        "joint_blocks.0.context_block.adaLN_modulation.1": (_WIDTH, 2 * _WIDTH),
        "joint_blocks.0.x_block.attn.qkv": (_WIDTH, 3 * _WIDTH),
        "joint_blocks.0.x_block.attn.proj": (_WIDTH, _WIDTH),
        "joint_blocks.0.x_block.mlp.fc1": (_WIDTH, 4 * _WIDTH),
        "joint_blocks.0.x_block.mlp.fc2": (4 * _WIDTH, _WIDTH),
        "joint_blocks.0.x_block.adaLN_modulation.1": (_WIDTH, 6 * _WIDTH),
        "final_layer.linear": (_WIDTH, patch),
        "final_layer.adaLN_modulation.1": (_WIDTH, 2 * _WIDTH),
    }
    for name, (inputs, outputs) in layers.items():
        shapes |= _linear(name, inputs, outputs)
    return shapes


def text_encoder_shapes() -> Shapes:
    """CLIP-L's text model, whose size is fixed."""
    shapes: Shapes = {
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.embeddings.position_embedding.weight": (77, 768),
        "text_projection.weight": (768, 768),
    }
    norms = ["text_model.final_layer_norm"]
    for number in range(12):
        layer = f"text_model.encoder.layers.{number}"
        norms += [f"{layer}.layer_norm1", f"{layer}.layer_norm2"]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{name}", 768, 768)
        shapes |= _linear(f"{layer}.mlp.fc1", 768, 3072) | _linear(f"{layer}.mlp.fc2", 3072, 768)
    for name in norms:
        shapes |= {f"{name}.weight": (768,), f"{name}.bias": (768,)}
    return shapes


def _convolution(inputs: int, outputs: int, kernel: NDArray[np.float32], factor: float = 1.0) -> NDArray[np.float32]:
    """The first three channels each through `kernel` [3,3], times `factor`; the others give nothing."""
    weights = np.zeros((outputs, inputs, 3, 3), np.float32)
    for channel in range(3):
        weights[channel, channel] = kernel * factor
    return weights


def autoencoder() -> Weights:
    """TAESD's autoencoder for 16 latent channels: colours go through as they are, halved and doubled three times."""
    same = np.zeros((3, 3), np.float32)
    same[1, 1] = 1
    # With a stride of two: the mean of 2 x 2 pixels.
    mean = np.zeros((3, 3), np.float32)
    mean[1:, 1:] = 0.25
    soft = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) * np.array(1 / 16, np.float32)
    weights: Weights = {"vae_scale": np.ones((), np.float32), "vae_shift": np.zeros((), np.float32)}

    def layer(name: str, values: NDArray[np.float32], bias: float | None = 0.0) -> None:
        weights[f"{name}.weight"] = values
        if bias is not None:
            weights[f"{name}.bias"] = np.full(values.shape[0], bias, np.float32)

    def blocks(side: str, *numbers: int) -> None:
        """A block adds its convolutions' output, here zero, to its input."""
        for number in numbers:
            for one in (0, 2, 4):
                layer(f"{side}.{number}.conv.{one}", np.zeros((_WIDTH, _WIDTH, 3, 3), np.float32))

    layer("taesd_encoder.0", _convolution(3, _WIDTH, same))
    for number in (2, 6, 10):
        layer(f"taesd_encoder.{number}", _convolution(_WIDTH, _WIDTH, mean), None)
    blocks("taesd_encoder", 1, 3, 4, 5, 7, 8, 9, 11, 12, 13)
    # Colours 0 to 1 are latents -1 to 1, and back.
    layer("taesd_encoder.14", _convolution(_WIDTH, _LATENT_CHANNELS, same, 2), -1)
    layer("taesd_decoder.1", _convolution(_LATENT_CHANNELS, _WIDTH, same, 0.5), 0.5)
    for number in (7, 12, 17):
        layer(f"taesd_decoder.{number}", _convolution(_WIDTH, _WIDTH, soft), None)
    blocks("taesd_decoder", 3, 4, 5, 8, 9, 10, 13, 14, 15, 18)
    layer("taesd_decoder.19", _convolution(_WIDTH, 3, same))
    return weights
