"""The curves of `docs/performance.md` as SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

# Times and bytes of one party: {"what", "party", "side", "seconds", "size"}.
Point = Mapping[str, Any]
# {"what", "counts", "values", "unit"}.
Curve = Mapping[str, Any]

_STYLE = {
    "ours": ("#c98a00", "o", "this pack"),
    "ComfyUI": ("#7a7f87", "s", "ComfyUI's own nodes"),
    "Pillow": ("#3a7bd5", "^", "floor: bare Pillow"),
}
# From seconds and bytes.
_SCALES = {"seconds": 1.0, "milliseconds": 1e3, "megabytes": 1e-6}
_SETTINGS: Any = {"svg.hashsalt": "nanobanana", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without a date, and with ids that don't change: the same figures give the same file.
    figure.savefig(file, format="svg", metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def _finish(axes: Any, title: str, below: str, left: str, across: Sequence[int] = ()) -> None:
    axes.set_title(title)
    axes.set_xlabel(below)
    axes.set_ylabel(left)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if across:
        axes.set_xticks(across, labels=[f"{one:,}" for one in across])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    least, most = axes.get_ylim()
    # Within one power of ten the lines between need their numbers too.
    axes.yaxis.set_minor_formatter(FuncFormatter(_plain) if most < 30 * least else NullFormatter())
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False, fontsize=8)


def image_path(points: Sequence[Point], file: Path) -> None:
    """Seconds and megabytes against megapixels: ours, ComfyUI's, the floor."""
    with mpl.rc_context(_SETTINGS):
        figure, all_axes = plt.subplots(1, 3, figsize=(11, 3.6))
        for axes, what, value, title, left in (
            (all_axes[0], "tensor to body", "seconds", "IMAGE to request body, lossless", "seconds"),
            (all_axes[1], "tensor to body", "size", "its bytes", "megabytes"),
            (all_axes[2], "PNG to tensor", "seconds", "PNG to IMAGE", "seconds"),
        ):
            for party, (colour, marker, label) in _STYLE.items():
                found = [one for one in points if one["what"] == what and one["party"] == party]
                if found:
                    across = [one["side"] ** 2 / 1e6 for one in found]
                    scale = 1e6 if value == "size" else 1
                    up = [one[value] / scale for one in found]
                    axes.plot(across, up, color=colour, marker=marker, markersize=4, label=label)
            _finish(axes, title, "megapixels", left)
        _save(figure, file)


def growth(points: Sequence[Point], curves: Sequence[Curve], file: Path) -> None:
    """Above the time of references, images in a run and calls in the journal; below the memory at the peak."""
    references = [one for one in points if one["what"].endswith("references")]
    with mpl.rc_context(_SETTINGS):
        figure, all_axes = plt.subplots(2, 3, figsize=(11, 7))
        counts = [int(one["what"].split()[0]) for one in references]
        axes = all_axes[0][0]
        axes.plot(counts, [one["seconds"] for one in references], color="#c98a00", marker="o", label="seconds")
        axes.plot(
            counts, [one["size"] / 1e6 for one in references], color="#3a7bd5", marker="^", label="megabytes of body"
        )
        _finish(axes, "References of 1024 x 1024 in one call", "pictures", "", counts)
        for axes, title, below, left, begin in (
            (all_axes[0][1], "Images in one run", "pictures", "seconds", ("a run's time", "the gateway's")),
            (all_axes[0][2], "The journal's answers", "calls in the journal", "milliseconds", ("the journal's",)),
            (all_axes[1][0], "Memory: one image's body, lossless", "pixels a side", "megabytes", ("body of",)),
            (all_axes[1][1], "Memory: a body with references", "pictures", "megabytes", ("body with",)),
            (all_axes[1][2], "Memory: images in one run", "pictures", "megabytes", ("a run's memory",)),
        ):
            found = [one for one in curves if one["what"].startswith(begin)]
            for one in found:
                label = one["what"].removeprefix("the journal's ")
                up = [value * _SCALES[left] for value in one["values"]]
                axes.plot(one["counts"], up, marker="o", markersize=4, label=label)
            _finish(axes, title, below, left, found[0]["counts"] if found else ())
        _save(figure, file)
