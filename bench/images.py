"""The image path: tensors to request bodies and files to tensors, beside bare Pillow and ComfyUI's own functions.

    python bench/images.py [--side 4096] [--repeats 5]

Run with a ComfyUI's Python to compare with ComfyUI too (`COMFYUI_PATH`, else ~/comfy/ComfyUI).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from loading import load_core_conversions, load_pack, load_tensors
from measuring import LEAST_REPEATS, Row, ratio, side_by_side
from numpy.typing import NDArray
from PIL import Image

load_pack()
from pack.nanobanana.cancel import CancelToken  # noqa: E402
from pack.nanobanana.gateway.request_body import RequestBody  # noqa: E402
from pack.nanobanana.image_request import ImageRequest  # noqa: E402
from pack.nanobanana.imaging.codec import DecodedImage, decode, jpeg, thumbnail  # noqa: E402
from pack.nanobanana.imaging.parallel import core_count  # noqa: E402
from pack.nanobanana.imaging.payload import PayloadLimits, fit  # noqa: E402
from pack.nanobanana.settings.profile import Profile  # noqa: E402

tensors: Any = load_tensors()

UNLIMITED = PayloadLimits(1 << 30, 1 << 31)
# What Pillow needs the least time for without loss, and what is usual.
LOSSLESS: dict[str, dict[str, Any]] = {
    "WebP": {"format": "WEBP", "lossless": True, "quality": 0, "method": 0},
    "PNG": {"format": "PNG", "compress_level": 1},
}
DECODED: dict[str, dict[str, Any]] = {
    "JPEG": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "PNG": {"format": "PNG", "compress_level": 1},
    "WebP": {"format": "WEBP", "quality": 90, "method": 0},
}
# Times the bare decode.
_DECODE_LIMIT = 2.0


@dataclass(frozen=True)
class Sample:
    """One image as the parties want it: `rgb` [H,W,3] uint8, `image` the IMAGE tensor [1,H,W,3]."""

    rgb: NDArray[np.uint8]
    image: Any
    pillow: Image.Image


def sample(side: int, seed: int = 1) -> Sample:
    """An image with detail at every scale and a little noise, as generated ones and photographs have."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side, 3), np.float32)
    cells = 8
    while cells <= side // 2:
        coarse = rng.standard_normal((3, cells, cells)).astype(np.float32) * cells**-0.75
        for channel in range(3):
            layer = Image.fromarray(coarse[channel]).resize((side, side), Image.Resampling.BICUBIC)
            total[:, :, channel] += np.asarray(layer)
        cells *= 2
    levels = 128 + 45 * (total - total.mean()) / total.std() + rng.normal(0, 2, total.shape)
    rgb = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return Sample(rgb, tensors.to_image(DecodedImage(rgb)), Image.fromarray(rgb))


def larger(one: Sample) -> Sample:
    """Twice the sides of `one`, made of it turned and inverted, so that no encoder finds it four times."""
    turned = one.rgb.swapaxes(0, 1)
    upper, lower = np.hstack([one.rgb, turned]), np.hstack([255 - turned[::-1], 255 - one.rgb[:, ::-1]])
    rgb = np.ascontiguousarray(np.vstack([upper, lower]))
    return Sample(rgb, tensors.to_image(DecodedImage(rgb)), Image.fromarray(rgb))


def request_body(images: Sequence[Any], limits: PayloadLimits, workers: int | None = None) -> int:
    """All that happens between the IMAGE tensors and the socket; the body's length in bytes."""
    sources = [source for image in images for source in tensors.sources(image)]
    fitted = fit(sources, limits, cancel=CancelToken(), workers=workers)
    request = ImageRequest("NanoBananaPro-4K", "a cute cat", "1:1", "png")
    return sum(len(piece) for piece in RequestBody(request, fitted.images, Profile()))


def encoded(image: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, **options)
    return out.getvalue()


def file_to_tensors(data: bytes) -> tuple[Any, Any]:
    """What the nodes do with a file: IMAGE and MASK."""
    image = decode(data, want_float=True)
    return tensors.to_image(image), tensors.to_mask(image.alpha, image.height, image.width)


def preview(rgb: NDArray[np.uint8]) -> bytes:
    """The file of an image's preview on a node."""
    return jpeg(thumbnail(rgb, 192))


def bare_decode(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def lossless_rows(one: Sample, core: Any, repeats: int) -> list[Row]:
    """Tensor to request body without loss."""
    works: dict[str, Callable[[], object]] = {"ours": partial(request_body, [one.image], UNLIMITED)}
    works |= {f"Pillow {kind}": partial(encoded, one.pillow, **options) for kind, options in LOSSLESS.items()}
    if core is not None:
        works["ComfyUI"] = partial(core.tensor_to_base64_string, one.image, total_pixels=None)
    times = side_by_side(works, repeats)
    fastest = min((times[f"Pillow {kind}"] for kind in LOSSLESS), key=lambda timing: timing.median)
    detail = "; ".join(f"{name} {timing}" for name, timing in times.items())
    side = len(one.rgb)
    rows = [
        Row(
            f"{side}x{side} tensor to body, times the bare Pillow encode",
            ratio(times["ours"], fastest),
            1.3,
            True,
            detail,
        )
    ]
    if "ComfyUI" in times:
        gain = ratio(times["ComfyUI"], times["ours"])
        rows.append(Row(f"{side}x{side} tensor to body, times faster than ComfyUI", gain, 6.0, False, detail))
    return rows


def parallel_rows(many: Sequence[Sample], repeats: int) -> list[Row]:
    """Fourteen images on one core and on all of them, without loss and within the usual limits.

    Nothing where there is but one core.
    """
    if core_count() == 1:
        return []
    images = [one.image for one in many]
    rows: list[Row] = []
    for name, limits in (("without loss", UNLIMITED), ("within 20 MB", PayloadLimits())):
        works: dict[str, Callable[[], object]] = {
            "one core": partial(request_body, images, limits, 1),
            "all cores": partial(request_body, images, limits),
        }
        times = side_by_side(works, repeats)
        detail = "; ".join(f"{label} {timing}" for label, timing in times.items())
        side = len(many[0].rgb)
        what = f"{len(many)} images of {side}x{side} to body {name}, times faster than one after the other"
        rows.append(Row(what, ratio(times["one core"], times["all cores"]), 1.6, False, detail))
    return rows


def decode_rows(one: Sample, core: Any, repeats: int) -> list[Row]:
    """A file's bytes to the IMAGE tensor."""
    rows: list[Row] = []
    for kind, options in DECODED.items():
        data = encoded(one.pillow, **options)
        works: dict[str, Callable[[], object]] = {
            "ours": partial(file_to_tensors, data),
            "Pillow": partial(bare_decode, data),
        }
        if core is not None:
            works["ComfyUI"] = lambda data=data: core.bytesio_to_image_tensor(BytesIO(data))
        times = side_by_side(works, repeats)
        detail = "; ".join(f"{name} {timing}" for name, timing in times.items())
        bare = ratio(times["ours"], times["Pillow"])
        rows.append(Row(f"{kind} bytes to tensor, times the bare decode", bare, _DECODE_LIMIT, True, detail))
        if core is not None:
            gain = ratio(times["ComfyUI"], times["ours"])
            rows.append(Row(f"{kind} bytes to tensor, times faster than ComfyUI", gain, 1.0, False, detail))
    return rows


@dataclass(frozen=True)
class Point:
    """One party's median seconds for an image of `side` x `side` pixels, and the bytes that came out or went in."""

    what: str
    party: str
    side: int
    seconds: float
    size: int


def growth(sides: Sequence[int], repeats: int) -> list[Point]:
    """Time and bytes against the image's size, for the plot: tensor to body without loss, PNG to tensor."""
    core = load_core_conversions()
    points: list[Point] = []
    for side in sides:
        one = sample(side)
        works: dict[str, Callable[[], object]] = {
            "ours": partial(request_body, [one.image], UNLIMITED),
            "Pillow": partial(encoded, one.pillow, **LOSSLESS["WebP"]),
        }
        if core is not None:
            works["ComfyUI"] = partial(core.tensor_to_base64_string, one.image, total_pixels=None)
        times = side_by_side(works, repeats)
        results: dict[str, Any] = {name: work() for name, work in works.items()}
        sizes = {name: result if isinstance(result, int) else len(result) for name, result in results.items()}
        points += [Point("tensor to body", name, side, times[name].median, sizes[name]) for name in works]
        data = encoded(one.pillow, **DECODED["PNG"])
        works = {"ours": partial(file_to_tensors, data), "Pillow": partial(bare_decode, data)}
        if core is not None:
            works["ComfyUI"] = lambda data=data: core.bytesio_to_image_tensor(BytesIO(data))
        times = side_by_side(works, repeats)
        points += [Point("PNG to tensor", name, side, times[name].median, len(data)) for name in works]
    return points


def reference_growth(counts: Sequence[int], side: int, repeats: int) -> list[Point]:
    """Time and bytes against the number of reference images of `side` x `side` pixels, within the usual limits."""
    images = [sample(side, seed).image for seed in range(max(counts))]
    points: list[Point] = []
    for count in counts:
        work = partial(request_body, images[:count], PayloadLimits())
        points.append(
            Point(f"{count} references", "ours", side, side_by_side({"ours": work}, repeats)["ours"].median, work())
        )
    return points


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS)
    options = parser.parse_args()
    core = load_core_conversions()
    one = sample(options.side)
    found = lossless_rows(one, core, options.repeats) + decode_rows(one, core, options.repeats)
    found += parallel_rows([sample(options.side // 2, seed) for seed in range(14)], options.repeats)
    for row in found:
        print(row)
    return 0 if all(row.is_met for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
