"""What a run tells: events for the panel on the node, while calls run and when they end, and the node's `info`.

The page words them in the person's language; the texts of the gateway and of errors pass through unchanged.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..nanobanana.calls.engine import Call
from ..nanobanana.calls.models import Outcome
from ..nanobanana.errors import ConfigError, GatewayError, NanoBananaError, merged
from ..nanobanana.image_request import ImageRequest
from ..nanobanana.imaging.codec import jpeg, thumbnail
from ..nanobanana.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE = 192
_MOST_CALLS = 64
# A node shows 16 images, some 6 kB each.
_MOST_TOLD = 18
_MOST_NODES = 100

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


def tile(rgb: NDArray[np.uint8], side: int) -> dict[str, Any]:
    """[H,W,3] uint8 for the page: `width` and `height` in pixels, and `image`, a data URL of at most `side` a side."""
    data = base64.b64encode(jpeg(thumbnail(rgb, side))).decode("ascii")
    return {"width": rgb.shape[1], "height": rgb.shape[0], "image": f"data:image/jpeg;base64,{data}"}


class Told:
    """What was told of each node's last run, for a page that is loaded later. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: OrderedDict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = OrderedDict()

    def note(self, kind: str, event: Mapping[str, Any]) -> None:
        """`kind`: "status", "picture" or "tiles"."""
        key = (str(event["workflow"]), str(event["node"]))
        with self._lock:
            known = [one for one in self._nodes.pop(key, []) if one[1]["run"] == event["run"]]
            # Of a status only the last one matters.
            known = [one for one in known if kind != "status" or one[0] != "status"]
            self._nodes[key] = [*known, (kind, event)][-_MOST_TOLD:]
            while len(self._nodes) > _MOST_NODES:
                self._nodes.popitem(last=False)

    def forget(self) -> None:
        """Show no later page anything of what was cleared."""
        with self._lock:
            self._nodes.clear()

    def of(self, workflow: str) -> list[dict[str, object]]:
        """The events of a workflow's nodes."""
        with self._lock:
            return [
                {"kind": kind, "event": event}
                for (one, _), events in self._nodes.items()
                if one == workflow
                for kind, event in events
            ]


told = Told()


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
            self._tell("status", state)

    def images(
        self,
        outcome: Outcome,
        execution: int,
        made: Sequence[NDArray[np.uint8]] = (),
        names: Sequence[str] = (),
    ) -> None:
        """Thumbnails of what just came, perhaps after the run's last status. Called in the call's thread.

        `execution`: which one of a list's it was; `place` puts the images in the order of the node's outputs. `made`,
        `names`: what the node made of the images, [H,W,3] uint8, and under which ids that was saved.
        """
        for number, delivered in enumerate(outcome.images):
            rgb = made[number] if made else delivered.image.rgb
            name = (names[number] if made else "") or delivered.id
            image = {"id": name, "free": outcome.source == "journal", "place": [execution, outcome.variation, number]}
            self._tell("picture", {**image, **tile(rgb, _SIDE)})

    def ended(
        self,
        calls: Sequence[Call],
        errors: Sequence[NanoBananaError],
        seconds: float,
        *,
        cancelled: bool,
        given_up: bool,
        skips: bool,
    ) -> None:
        """The last event of the run; sent again at the end of calls that go on after it.

        `errors`: those of executions that never made a call. `given_up`: a cancel, or another node's failure, ended
        the graph. `skips`: whether what lies behind a failure is skipped.
        """
        results = _results([call.outcome for call in calls if call.outcome], calls)
        results["errors"] = _errors([*errors, *(call.outcome.error for call in calls if call.outcome)])
        results["failed"] += len(errors)
        going_on = sum(not (call.done or call.cancel.cancelled) for call in calls)
        if going_on and given_up:
            state = "background"
        elif results["delivered"]:
            state = "stored" if given_up else "done"
        else:
            state = "cancelled" if cancelled else "failed"
        ending = {"state": state, "seconds": round(seconds, 2), "going_on": going_on, "cancelled": cancelled}
        ending["skipped"] = skips and state == "failed"
        self._tell("status", {**ending, "calls": [], **results})

    def _tell(self, kind: str, data: Mapping[str, Any]) -> None:
        event = {**self._address, **data}
        told.note(kind, event)
        self._send(f"nanobanana.{kind}", event)


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
    sizes = [size for call in calls for size in call.sizes]
    return {
        "total": len(calls),
        "finished": len(outcomes),
        "delivered": len(sizes),
        "failed": sum(outcome.error is not None for outcome in outcomes),
        # A seed may be larger than JavaScript's numbers can hold exactly.
        "seed": str(calls[0].order.request.seed) if calls else "",
        "simulated": bool(calls) and all(call.order.profile.is_simulated for call in calls),
        "sizes": list(dict.fromkeys(f"{width} x {height}" for width, height in sizes)),
        "free": sum(bool(call.sizes and call.outcome and call.outcome.source == "journal") for call in calls),
        "currency": calls[0].order.profile.currency if calls else "",
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


def info(
    outcomes: Sequence[Outcome], request: ImageRequest | None, *, error: NanoBananaError | None, seconds: float
) -> str:
    """JSON: `model`, `ratio`, `format`, then of the first image `pixels` ("1376x768"), `url`, `request_id`, `billed`
    (yes, no, maybe), `source` (gateway, journal), and of all `seconds`, `bytes`, `warnings`; `pictures` lists each
    image, `failures` each call that brought none.
    """
    images = [entry for outcome in outcomes for entry in _images(outcome)]
    failures = [_failure(outcome) for outcome in outcomes if outcome.error]
    if error:
        failures.append({"variation": None, "error": error.text, "request_id": "", "billed": "no"})
    first: dict[str, Any] = images[0] if images else failures[0] if failures else {}
    warnings = dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings)
    return json.dumps(
        {
            "model": request.model if request else "",
            "ratio": request.aspect_ratio if request else "",
            "format": request.output_format if request else "",
            "pixels": first.get("pixels", ""),
            "url": first.get("url", ""),
            "request_id": first.get("request_id", ""),
            "seconds": round(seconds, 3),
            "bytes": sum(entry["bytes"] for entry in images),
            "billed": first.get("billed", "no"),
            "source": first.get("source", "gateway"),
            "warnings": list(warnings),
            "pictures": images,
            "failures": failures,
        },
        ensure_ascii=False,
        indent=1,
    )


def _images(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "variation": outcome.variation,
            "pixels": f"{one.image.rgb.shape[1]}x{one.image.rgb.shape[0]}",
            "url": one.url,
            "request_id": outcome.request_id,
            "seconds": round(outcome.seconds, 3),
            "bytes": one.bytes,
            "billed": outcome.billed,
            "source": outcome.source,
            "warnings": list(outcome.warnings),
        }
        for one in outcome.images
    ]


def _failure(outcome: Outcome) -> dict[str, Any]:
    return {
        "variation": outcome.variation,
        "error": outcome.error.text if outcome.error else "",
        "request_id": outcome.request_id,
        "billed": outcome.billed,
    }
