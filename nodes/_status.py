"""What a node says while it works, and when it is done: reports in, words out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..nanobanana.calls.engine import Call
from ..nanobanana.calls.models import Outcome
from ..nanobanana.errors import merged
from ..nanobanana.progress import Progress

# How far along a call is, as a part of the whole, when a phase begins and when it ends.
_PROGRESS = {
    "queued": (0.0, 0.0),
    "preparing": (0.0, 0.0),
    "connecting": (0.02, 0.02),
    "uploading": (0.02, 0.15),
    "waiting": (0.15, 0.15),
    "streaming": (0.5, 0.5),
    "pausing": (0.02, 0.02),
    "downloading": (0.8, 0.99),
    "done": (1.0, 1.0),
    "failed": (1.0, 1.0),
}


def progress(reports: Sequence[Progress]) -> float:
    """The mean of how far each call is, 0..1; 0 for none."""
    if not reports:
        return 0.0
    return sum(_part(report) for report in reports) / len(reports)


def _part(report: Progress) -> float:
    begin, end = _PROGRESS[report.phase]
    share = report.done / report.total if report.total else 0.0
    return begin + (end - begin) * min(1.0, share)


def running_text(calls: Sequence[Call], now: float) -> str:
    """One or two lines about the calls of a node; `now` is the monotonic clock's seconds."""
    if len(calls) == 1:
        return describe(calls[0].report, now - calls[0].since, now)
    finished = sum(call.done for call in calls)
    counts = Counter(call.report.phase for call in calls if not call.done)
    words = ", ".join(f"{count} {phase}" for phase, count in counts.items())
    first = f"{finished} of {len(calls)} done"
    return f"{first}: {words}" if words else first


def describe(report: Progress, seconds: float, now: float) -> str:
    """One call's report in words; `seconds` is how long it has been in its phase."""
    match report.phase:
        case "queued":
            if report.total > 1:
                return f"queued, {_ordinal(report.done)} of {report.total}"
            return "queued"
        case "uploading" if report.total:
            return f"uploading {report.done / 1e6:.1f} of {report.total / 1e6:.1f} MB"
        case "waiting":
            return f"waiting {seconds:.0f} s"
        case "streaming":
            return report.text or f"waiting {seconds:.0f} s"
        case "downloading" if report.total:
            return f"downloading {report.done / 1e6:.1f} of {report.total / 1e6:.1f} MB"
        case "pausing":
            left = max(0.0, report.until - now)
            return f"trying again in {left:.0f} s: {report.text}" if left else report.text
        case _:
            return report.phase


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def final_text(outcomes: Sequence[Outcome], seconds: float) -> str:
    """What stays on the node: how many images, of which size, from where, and every warning and failure."""
    images = [delivered for outcome in outcomes for delivered in outcome.images]
    sizes = Counter(f"{one.image.rgb.shape[1]} x {one.image.rgb.shape[0]}" for one in images)
    lines = [f"{_counted(len(images), 'image')}, {', '.join(sizes)}, {seconds:.1f} s"] if images else []
    free = sum(outcome.source == "journal" and bool(outcome.images) for outcome in outcomes)
    if free:
        lines.append("from the journal: free" if free == len(outcomes) else f"{free} of them from the journal: free")
    lines.extend(dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings))
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors and images:
        lines.append(f"{len(errors)} of {len(outcomes)} failed:")
    lines.extend(str(error) for error in merged(errors))
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
