"""The picture path's rows and curves as JSON. Run with a ComfyUI's Python, ComfyUI's own functions run beside ours.

python bench/picture_rows.py [--repeats 5] [--short]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
from measuring import LEAST_REPEATS, Row, side_by_side
from pictures import (
    LOSSLESS,
    UNLIMITED,
    Point,
    Sample,
    decode_rows,
    encoded,
    growth,
    lossless_rows,
    memory_rows,
    parallel_rows,
    reference_growth,
    request_body,
    sample,
    tensors,
)
from PIL import Image

_SIDES = (256, 512, 1024, 2048)
_LARGE = 4096
_REFERENCES = (1, 2, 4, 8, 14)


def largest(one: Sample) -> list[Point]:
    """Twice the sides of `one`, made of four of it. ComfyUI takes 20 s for it, and is left out."""
    rgb = np.tile(one.rgb, (2, 2, 1))
    two = Sample(rgb, tensors.to_image(rgb), Image.fromarray(rgb))
    works = {
        "ours": partial(request_body, [two.image], UNLIMITED),
        "Pillow": lambda: len(encoded(two.pillow, **LOSSLESS["WebP"])),
    }
    sizes = {name: work() for name, work in works.items()}
    times = side_by_side(works, 1)
    return [Point("tensor to body", name, len(rgb), times[name].median, sizes[name]) for name in works]


def curves(repeats: int) -> list[Point]:
    """Time and bytes against sides, 256 to 8192, and against references, 1 to 14."""
    points = growth(_SIDES, repeats) + growth([_LARGE], 1) + largest(sample(_LARGE))
    return points + reference_growth(_REFERENCES, 1024, repeats)


def growth_rows(points: Sequence[Point]) -> list[Row]:
    """Four times the pixels, or seven times the pictures, take about as many times as long."""
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

    from loading import load_core_conversions

    core = load_core_conversions()
    one = sample(1024 if options.short else 4096)
    tell(lossless_rows(one, core, options.repeats))
    tell(decode_rows(one, core, options.repeats))
    tell(parallel_rows([sample(len(one.rgb) // 2, seed) for seed in range(14)], options.repeats))
    if not options.short:
        tell(memory_rows(len(one.rgb)))
        points = curves(options.repeats)
        tell(growth_rows(points))
    print(json.dumps({"rows": [asdict(row) for row in found], "points": [asdict(point) for point in points]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
