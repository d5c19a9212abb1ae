"""What the panel on the node shows while calls run and when they end: events for the page, as JSON values.

The page words them in the person's language; the texts of the gateway and of errors pass through unchanged.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..nanobanana.calls.engine import Call
from ..nanobanana.calls.models import Outcome
from ..nanobanana.errors import ConfigError, GatewayError, NanoBananaError, merged
from ..nanobanana.imaging.codec import jpeg, thumbnail
from ..nanobanana.progress import Progress

STATUS = "nanobanana.status"
IMAGE = "nanobanana.picture"

_SIDE = 192
_MOST_CALLS = 64

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

Send = Callable[[str, Mapping[str, Any]], None]


def progress(reports: Sequence[Progress]) -> float:
    """The mean of how far each call is, 0..1; 0 for none."""
    if not reports:
        return 0.0
    return sum(_part(report) for report in reports) / len(reports)


def _part(report: Progress) -> float:
    begin, end = _PROGRESS[report.phase]
    share = report.done / report.total if report.total else 0.0
    return begin + (end - begin) * min(1.0, share)


class RunEvents:
    """The events of one node in one run. `workflow`: the graph's id, which tells the page whose node it is."""

    def __init__(self, send: Send, *, node_id: str, run: str, workflow: str) -> None:
        self._send = send
        self._address = {"node": node_id, "run": run, "workflow": workflow}
        self._last: dict[str, Any] = {}

    def running(self, calls: Sequence[Call], now: float) -> None:
        """Where the calls stand; `now`: seconds of the monotonic clock. Sent if anything has changed."""
        state = {
            "state": "running",
            "progress": round(progress([call.report for call in calls]), 3),
            "calls": [_call(call, now) for call in calls[:_MOST_CALLS] if not call.done],
            **_results([call.outcome for call in calls if call.outcome], calls),
        }
        if state != self._last:
            self._last = state
            self._send(STATUS, {**self._address, **state})

    def images(self, outcome: Outcome) -> None:
        """Thumbnails of what just came. Called in the call's thread, while others still run."""
        for delivered in outcome.images:
            data = jpeg(thumbnail(delivered.image.rgb, _SIDE))
            height, width = delivered.image.rgb.shape[:2]
            image = {"id": delivered.id, "width": width, "height": height, "free": outcome.source == "journal"}
            address = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
            self._send(IMAGE, {**self._address, **image, "image": address})

    def ended(
        self, calls: Sequence[Call], errors: Sequence[NanoBananaError], seconds: float, *, cancelled: bool
    ) -> None:
        """The last event of the run. `errors`: those of executions that never made a call."""
        results = _results([call.outcome for call in calls if call.outcome], calls)
        results["errors"] = _errors([*errors, *(call.outcome.error for call in calls if call.outcome)])
        state = "cancelled" if cancelled else "done" if results["delivered"] else "failed"
        if state == "failed" and any(not call.done for call in calls):
            # Another node's failure ended the graph; paid calls still finish in the history.
            state = "background"
        self._send(STATUS, {**self._address, "state": state, "seconds": round(seconds, 2), "calls": [], **results})


def _call(call: Call, now: float) -> dict[str, Any]:
    report = call.report
    return {
        "phase": report.phase,
        "done": report.done,
        "total": report.total,
        "text": report.text,
        # Whole seconds: an event a second is enough for a clock.
        "seconds": int(now - call.since),
        "left": max(0, round(report.until - now)) if report.until else 0,
    }


def _results(outcomes: Sequence[Outcome], calls: Sequence[Call]) -> dict[str, Any]:
    prices = {id(call.outcome): call.order.profile.prices.get(call.order.request.model) for call in calls}
    billed = [outcome for outcome in outcomes if outcome.billed == "yes"]
    maybe = [outcome for outcome in outcomes if outcome.billed == "maybe"]
    sizes = [one.image.rgb.shape for outcome in outcomes for one in outcome.images]
    return {
        "total": len(calls),
        "finished": len(outcomes),
        "delivered": len(sizes),
        "sizes": list(dict.fromkeys(f"{shape[1]} x {shape[0]}" for shape in sizes)),
        "free": sum(outcome.source == "journal" and bool(outcome.images) for outcome in outcomes),
        "cost": sum(prices.get(id(outcome)) or 0.0 for outcome in billed),
        "maybe_cost": sum(prices.get(id(outcome)) or 0.0 for outcome in maybe),
        "unpriced": sum(prices.get(id(outcome)) is None for outcome in [*billed, *maybe]),
        "billed": len(billed),
        "maybe_billed": len(maybe),
        "warnings": list(dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings)),
        "errors": _errors([outcome.error for outcome in outcomes]),
    }


def _errors(errors: Sequence[NanoBananaError | None]) -> list[dict[str, Any]]:
    """Errors that say the same merged into one, with how often it happened."""
    there = [error for error in errors if error is not None]
    counts = Counter(_same(error) for error in there)
    return [_error(error, counts[_same(error)]) for error in merged(there)]


def _same(error: NanoBananaError) -> tuple[type, str, str]:
    return type(error), error.message, error.hint


def _error(error: NanoBananaError, times: int) -> dict[str, Any]:
    gateway = error if isinstance(error, GatewayError) else None
    return {
        "kind": "config" if isinstance(error, ConfigError) else "gateway" if gateway else "other",
        "message": gateway.with_file if gateway else error.message,
        "hint": error.hint,
        "request_id": gateway.request_id if gateway else "",
        "billed": gateway.billed if gateway else "",
        "times": times,
    }
