"""The image path's rows and curves as JSON. Run with a ComfyUI's Python, ComfyUI's own functions run beside ours.

python bench/image_rows.py [--repeats 5] [--short]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from images import (
    DECODED,
    LOSSLESS,
    UNLIMITED,
    DecodedImage,
    Point,
    Sample,
    bare_decode,
    decode_rows,
    encoded,
    file_to_tensors,
    growth,
    larger,
    lossless_rows,
    parallel_rows,
    preview,
    reference_growth,
    request_body,
    sample,
    tensors,
)
from loading import load_core_conversions
from measuring import LEAST_REPEATS, Row
from PIL import Image

_SIDES = (256, 512, 1024)
_REFERENCES = (1, 2, 4, 8, 14)


def large_points(one: Sample, core: Any) -> list[Point]:
    """The same for `one`, which is large, by a single run each: what is small beside it doesn't matter any more."""
    side = len(one.rgb)
    works: dict[str, Callable[[], object]] = {
        "ours": partial(request_body, [one.image], UNLIMITED),
        "Pillow": partial(encoded, one.pillow, **LOSSLESS["WebP"]),
    }
    if core is not None:
        works["ComfyUI"] = partial(core.tensor_to_base64_string, one.image, total_pixels=None)
    points: list[Point] = []
    for name, work in works.items():
        seconds, result = once(work)
        points.append(Point("tensor to body", name, side, seconds, result if isinstance(result, int) else len(result)))
    data = encoded(one.pillow, **DECODED["PNG"])
    works = {"ours": partial(file_to_tensors, data), "Pillow": partial(bare_decode, data)}
    if core is not None:
        works["ComfyUI"] = lambda: core.bytesio_to_image_tensor(BytesIO(data))
    return points + [Point("PNG to tensor", name, side, once(work)[0], len(data)) for name, work in works.items()]


def once(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one run, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def curves(one: Sample, core: Any, repeats: int) -> list[Point]:
    """Time and bytes against sides, 256 to 8192, and against references, 1 to 14.

    ComfyUI takes 20 s for the largest, and is left out there.
    """
    half = sample(len(one.rgb) // 2)
    points = growth(_SIDES, repeats) + large_points(half, core) + large_points(one, core)
    points += large_points(larger(one), None)
    return points + reference_growth(_REFERENCES, 1024, repeats)


def fourteen(one: Sample) -> list[Sample]:
    """Images with the same detail as `one`, each beginning elsewhere."""
    step = len(one.rgb) // 14
    rolled = [np.roll(one.rgb, number * step, axis=0) for number in range(14)]
    return [Sample(rgb, tensors.to_image(DecodedImage(rgb)), Image.fromarray(rgb)) for rgb in rolled]


def preview_rows(one: Sample, repeats: int) -> list[Row]:
    """The small image that a page gets while a node works, beside a plain resize of the whole by Pillow."""
    ours = min(once(lambda: preview(one.rgb))[0] for _ in range(repeats))
    bare = min(once(lambda: one.pillow.resize((192, 192), Image.Resampling.BILINEAR))[0] for _ in range(repeats))
    return [
        Row("preview, times Pillow's resize", ours / bare, 1.0, True, f"{1000 * ours:.1f} ms; {1000 * bare:.1f} ms")
    ]


def growth_rows(points: Sequence[Point]) -> list[Row]:
    """Four times the pixels, or seven times the images, take about as many times as long."""
    ours = {one.side: one.seconds for one in points if one.what == "tensor to body" and one.party == "ours"}
    references = {one.what: one.seconds for one in points if one.what.endswith("references")}
    sides = [side for side in sorted(ours) if side >= 1024]
    per_step = (ours[sides[-1]] / ours[sides[0]]) ** (1 / (len(sides) - 1))
    seven = references["14 references"] / references["2 references"]
    words = "; ".join(f"{side}: {ours[side]:.3f} s" for side in sorted(ours))
    return [
        Row(f"tensor to body from {sides[0]} to {sides[-1]} pixels a side, times a doubling", per_step, 5, True, words),
        Row(
            "14 references of 1024x1024 to body, times 2 of them",
            seven,
            14,
            True,
            "; ".join(f"{name}: {seconds:.3f} s" for name, seconds in references.items()),
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    found: list[Row] = []
    points: list[Point] = []

    def tell(rows: list[Row]) -> None:
        for row in rows:
            print(row, file=sys.stderr, flush=True)
        found.extend(rows)

    core = load_core_conversions()
    one = sample(1024 if options.short else 4096)
    tell(lossless_rows(one, core, options.repeats))
    tell(decode_rows(one, core, options.repeats))
    tell(preview_rows(one, options.repeats))
    tell(parallel_rows(fourteen(sample(len(one.rgb) // 2)), options.repeats))
    if not options.short:
        points = curves(one, core, options.repeats)
        tell(growth_rows(points))
    print(json.dumps({"rows": [asdict(row) for row in found], "points": [asdict(point) for point in points]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
