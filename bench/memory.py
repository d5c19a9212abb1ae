"""Growth of memory: the peak of making a request's body, over the tensors themselves, by sides and by references.

python bench/memory.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from growth import Curve, tell
from images import UNLIMITED, Sample, larger, request_body, sample
from images import PayloadLimits as Limits
from measuring import Row, in_fresh_process, peak_memory

_SIDES = (256, 512, 1024, 2048, 4096, 8192)
_REFERENCES = (1, 2, 4, 8, 14)
_REFERENCE_SIDE = 1024
# Detail of its own is worked out for sides up to this one.
_MOST_SAMPLED = 4096


def measure(side: int, count: int, limits: Limits) -> int | None:
    """Bytes at the peak in this process, which has done nothing else yet but a small image."""
    images = [_sample(side, seed).image for seed in range(count)]
    # Pillow's plugins and the threads' stacks are not the image's.
    request_body([sample(64).image], limits)
    return peak_memory(lambda: request_body(images, limits))


def _sample(side: int, seed: int) -> Sample:
    return larger(sample(side // 2, seed)) if side > _MOST_SAMPLED else sample(side, seed)


def _peak(side: int, count: int, *how: str) -> int | None:
    return in_fresh_process(Path(__file__), "--one", "--side", str(side), "--count", str(count), *how)["peak"]


def _grown(what: str, name: str, across: Sequence[int], peaks: Sequence[int], factor: float, most: float) -> Row:
    words = "; ".join(f"{one}: {peak / 1e6:.1f} MB" for one, peak in zip(across, peaks, strict=True))
    return Row(what, factor, most, True, f"{name} {words}")


def rows_and_curves() -> tuple[list[Row], list[Curve]]:
    """None of either where the system can't tell a peak."""
    by_side = [_peak(side, 1, "--lossless") for side in _SIDES]
    by_count = [_peak(_REFERENCE_SIDE, count) for count in _REFERENCES]
    sides, counts = [peak for peak in by_side if peak], [peak for peak in by_count if peak]
    if len(sides) < len(_SIDES) or len(counts) < len(_REFERENCES):
        return [], []
    first = _SIDES.index(1024)
    doubling = (sides[-1] / sides[first]) ** (1 / (len(sides) - 1 - first))
    rows = [
        _grown("memory from 1024 to 8192 pixels a side, times a doubling", "side", _SIDES, sides, doubling, 5),
        _grown(
            "memory of 14 references of 1024x1024, times 2 of them",
            "references",
            _REFERENCES,
            counts,
            counts[-1] / counts[1],
            14,
        ),
    ]
    curves = [
        Curve("body of one image", _SIDES, tuple(map(float, sides)), "bytes"),
        Curve("body with references", _REFERENCES, tuple(map(float, counts)), "bytes"),
    ]
    return rows, curves


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=_REFERENCE_SIDE, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--lossless", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        limits = UNLIMITED if options.lossless else Limits()
        print(json.dumps({"peak": measure(options.side, options.count, limits)}))
        return 0
    rows, curves = rows_and_curves()
    tell(rows, curves)
    return 0


if __name__ == "__main__":
    sys.exit(main())
