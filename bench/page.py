"""`docs/performance.md`: every figure with its bound, how it was measured, and on what."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from measuring import Row

_HEAD = """# Performance

Written by `make bench`, which measures everything below side by side in one run. Run it on your own machine: ratios
travel, seconds don't. Where there is a ComfyUI, its own conversion functions (`comfy_api_nodes/util/conversions.py`)
and the graph in a real server are measured too. Figures are medians of {repeats} or more, with the least and the most
in brackets; "of a core" is the processor time of all threads together. In the plots, 2048 pixels a side and
more, and the memory, are single runs.

The **floor** is what nobody can do without: Pillow's bare encoding and decoding of the same pixels, the bare `json` and
`base64` of the same bytes, the gateway's own time. The gateway here is one that does nothing but wait and answer, in
a process of its own.

{machine}

![Time and bytes against megapixels](pictures/performance.svg)

![References, images in a run, calls in the journal](pictures/growth.svg)
"""


def machine(load: float | None) -> str:
    """What it was measured on; `load`: the one-minute load average before."""
    facts = [
        f"{os.cpu_count()} cores, {_processor()}",
        f"{platform.system()}",
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("pillow", "numpy", "torch", "requests")),
    ]
    words = f"Measured {time.strftime('%Y-%m-%d')} on: {'; '.join(facts)}."
    if load is not None:
        words += f" Load average before: {load:.1f}."
        if load > 1:
            words += " **The machine was busy with other work: read the ratios, not the seconds.**"
    return words


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| what | measured | bound | |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {row.what} | **{value(row, row.value)}** | {bound(row)} | {met(row)} |" for row in rows]
    return "\n".join(lines)


def value(row: Row, number: float) -> str:
    """Two or three digits and the unit."""
    text = f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
    return f"{text} {row.unit}" if row.unit else text


def bound(row: Row) -> str:
    return f"{'at most' if row.at_most else 'at least'} {row.limit:g}{f' {row.unit}' if row.unit else ''}"


def met(row: Row) -> str:
    return "met" if row.is_met else "**not met**"


def page(sections: Mapping[str, Sequence[Row]], repeats: int, load: float | None) -> str:
    """The whole document."""
    parts = [_HEAD.format(repeats=repeats, machine=machine(load))]
    for title, rows in sections.items():
        if rows:
            details = "\n".join(f"- {row.what}: {row.detail}." for row in rows if row.detail)
            parts.append(
                f"## {title}\n\n{table(rows)}\n\n<details><summary>The figures</summary>\n\n{details}\n\n</details>\n"
            )
    return "\n".join(parts)
