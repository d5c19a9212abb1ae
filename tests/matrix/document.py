"""docs/dev/fault-matrix.md: every row of the fault matrix with what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway_faults import FAULTS, Fault

from .row import Measured, Row

HEAD = """# The fault matrix

For those who work on the pack; [reliability](../reliability.md) is the page for those who use it. `python
scripts/fault_matrix.py` measures and writes this page, and the tests measure the same rows each time they run.

Each row is one call through the whole client against the built-in simulator, or against what the row names, with an
empty data folder. The columns:

- **POSTs**: requests that the gateway received. **paid**: calls that it charged for, by its own account (a gateway of
  the worst kind, which charges as soon as it has begun).
- **told**: what the person is told about the bill. **kept / got**: images on disk, and images delivered.
- **ends as**: the error, or nothing when the image came. A second call within the same run made no POST in any row
  whose bill is not "no".
- **again**: POSTs, and images, when a person runs the graph again at once and the gateway is well (in rows marked
  with *, when it still is not).
- **s**: seconds to the verdict on the machine that wrote this page, with pauses shortened to 1/250 and, in rows that
  hang, a total timeout of 0.6 s. All other figures are the same on every machine.
"""

_HEADINGS = (
    "| fault | what the gateway does | POSTs | paid | told | kept / got | ends as | again | s |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def _does(row: Row) -> str:
    if row.gateway:
        return row.gateway
    if row.steps:
        return "one after the other"
    words = [FAULTS[Fault.parse(fault).name].description for fault in row.faults if fault]
    return "; ".join(words)


def line(row: Row) -> str:
    """The row's cells that are the same on every machine, up to the seconds."""
    ending = row.ending or "-"
    again = f"{row.again[0]}, {row.again[1]}{'*' if row.stays else ''}"
    cells = [
        f"`{row.name}`",
        _does(row).replace("|", "\\|"),
        str(row.posts),
        str(row.paid),
        row.billed,
        f"{row.kept} / {row.delivered}",
        ending,
        again,
    ]
    return "| " + " | ".join(cells) + " |"


def render(rows: Sequence[Row], measured: Mapping[str, Measured]) -> str:
    """The whole page."""
    parts = [HEAD, f"{len(rows)} rows.\n"]
    for section in dict.fromkeys(row.section for row in rows):
        parts.append(f"\n## {section}\n\n{_HEADINGS}")
        parts += [f"{line(row)} {measured[row.name].seconds:.1f} |\n" for row in rows if row.section == section]
    return "".join(parts)


def without_seconds(page: str) -> str:
    """The page without its last column, to be compared."""
    lines = [text.rsplit("|", 2)[0] if text.startswith("| `") else text for text in page.splitlines()]
    return "\n".join(text.rstrip() for text in lines)
