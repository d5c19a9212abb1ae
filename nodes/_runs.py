"""One execution of one node: its calls start in threads at once and are followed on the host's loop.

A list of N inputs makes N executions of one node at a time. The host fails the whole node as soon as one of them
raises, so an execution for which nothing came waits for the others: it raises only when nothing came for any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..nanobanana.calls.engine import Call, Engine
from ..nanobanana.calls.models import Order, Outcome
from ..nanobanana.cancel import CancelToken
from ..nanobanana.errors import NanoBananaError, merged
from ..nanobanana.image_request import ImageRequest
from ..nanobanana.imaging.codec import DecodedImage
from ._events import RunEvents, progress
from ._host import (
    client_id,
    interruption,
    is_interrupted,
    prompt_outcome,
    run_id,
    send_event,
    set_progress,
    workflow_id,
)

if TYPE_CHECKING:
    from ._tensors import Tensor

_POLL_SECONDS = 0.1
# How often to read the host's cancel flag: a local node that blocks the loop may clear it before the loop turns.
_WATCH_SECONDS = 0.025
_LOOKS_PER_EVENT = 8
# How long to wait for what the host says about a graph that ended.
_STATUS_SECONDS = 10.0
# A list's executions each begin within one turn of the loop; one that failed waits this long for the others to appear.
_LIST_SETTLES = 0.05

Convert = Callable[[DecodedImage], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True)
class Job:
    """What an execution wants: `count` variations of `order`; `convert` makes IMAGE and MASK, in the call's thread."""

    order: Order
    count: int
    convert: Convert


@dataclass
class Result:
    """What an execution got: `images` and `masks` hold one tensor an image, in the order of the variations."""

    images: list[Tensor] = field(default_factory=list["Tensor"])
    masks: list[Tensor] = field(default_factory=list["Tensor"])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    error: NanoBananaError | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """What the model said, each text once."""
        return "\n".join(dict.fromkeys(outcome.text for outcome in self.outcomes if outcome.text))

    def info(self, request: ImageRequest | None) -> str:
        """JSON: `model`, `ratio`, `format`, then of the first image `pixels` ("1376x768"), `url`, `request_id`,
        `billed` (yes, no, maybe), `source` (gateway, journal), and of all `seconds`, `bytes`, `warnings`; `pictures`
        lists each image, `failures` each call that brought none.
        """
        images = [entry for outcome in self.outcomes for entry in _images(outcome)]
        failures = [_failure(outcome) for outcome in self.outcomes if outcome.error]
        if self.error:
            failures.append({"variation": None, "error": str(self.error), "request_id": "", "billed": "no"})
        first: dict[str, Any] = images[0] if images else failures[0] if failures else {}
        warnings = dict.fromkeys(warning for outcome in self.outcomes for warning in outcome.warnings)
        return json.dumps(
            {
                "model": request.model if request else "",
                "ratio": request.aspect_ratio if request else "",
                "format": request.output_format if request else "",
                "pixels": first.get("pixels", ""),
                "url": first.get("url", ""),
                "request_id": first.get("request_id", ""),
                "seconds": round(self.seconds, 3),
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
        "error": str(outcome.error),
        "request_id": outcome.request_id,
        "billed": outcome.billed,
    }


class Execution:
    """One `execute` of a node. Everything in it but `converted` and `_awake` runs on the host's loop."""

    def __init__(self, group: NodeRun) -> None:
        self._group = group
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._tensors: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.calls: list[Call] = []
        self.request: ImageRequest | None = None
        self.error: NanoBananaError | None = None
        self.ended = False

    def start(self, engine: Callable[[], Engine], prepare: Callable[[str], Job]) -> None:
        """Start the calls for what `prepare` returns; an error that it raises becomes the execution's."""
        try:
            job = prepare(self._group.run)
            self.request = job.order.request
            starting = engine()
        except NanoBananaError as error:
            self.error = error
            return

        def converted(outcome: Outcome) -> None:
            """In the call's thread: the tensors are made there, while other calls still run."""
            self._tensors[outcome.variation] = [job.convert(one.image) for one in outcome.images]
            self._group.events.images(outcome)

        for variation in range(job.count):
            token = CancelToken(self._group.token)
            self.calls.append(starting.start(job.order, variation, token, convert=converted, on_done=self._awake))

    def _awake(self) -> None:
        # The loop is closed if the host gave up on this run; the call still finishes in the history.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def done(self) -> bool:
        return all(call.done for call in self.calls)

    @property
    def delivered(self) -> bool:
        return self.done and any(call.outcome and call.outcome.images for call in self.calls)

    async def result(self) -> Result:
        """Follow the calls to their end. Raises the host's interruption, or the error if nothing came at all."""
        try:
            # The host awaits a list's tasks only if one is pending when it has started the last of them. If that one
            # returned in its first turn and the others had ended by then, it would take the tasks for their results.
            await asyncio.sleep(0)
            while not self.done:
                await self._turn(_POLL_SECONDS)
            self.ended = True
            if not self.delivered:
                await self._turn(_LIST_SETTLES)
                while not self._group.settled and not self._group.delivered:
                    await self._turn(_POLL_SECONDS)
                if not self._group.delivered:
                    raise self._group.failure()
            return self._result()
        except asyncio.CancelledError:
            self._group.graph_ended()
            raise
        finally:
            self.ended = True
            await self._group.leave()

    async def _turn(self, seconds: float) -> None:
        if self._group.token.cancelled or is_interrupted():
            self._group.token.cancel()
            raise interruption()
        await self._group.show_progress()
        self._wake.clear()
        if not self.done or self.ended:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    def _result(self) -> Result:
        result = Result(error=self.error, seconds=time.monotonic() - self._began)
        for call in self.calls:
            if call.outcome is None:
                continue
            result.outcomes.append(call.outcome)
            for image, mask in self._tensors.get(call.variation, []):
                result.images.append(image)
                result.masks.append(mask)
        return result


class NodeRun:
    """All executions of one node in one run of the graph: one cancel, one status, one progress bar."""

    def __init__(self, runs: Runs, run: str, node_id: str) -> None:
        self._runs = runs
        self.run = run
        self.node_id = node_id
        self.token = CancelToken()
        self.executions: list[Execution] = []
        # Until when the host may say how the graph ended, in seconds of the monotonic clock; None while it runs.
        self.ending: float | None = None
        # The page that queued this run, noted now: later the host names the page of the next run.
        send = partial(send_event, client_id())
        self.events = RunEvents(send, node_id=node_id, run=run, workflow=workflow_id(run))
        self._began = time.monotonic()
        self._shown = -1.0

    @property
    def calls(self) -> list[Call]:
        return [call for execution in self.executions for call in execution.calls]

    @property
    def settled(self) -> bool:
        return all(execution.ended for execution in self.executions)

    @property
    def delivered(self) -> bool:
        return any(execution.delivered for execution in self.executions)

    def say(self) -> None:
        """Tell the page where the calls stand, if that has changed. Called from the watching thread."""
        if calls := self.calls:
            self.events.running(calls, time.monotonic())

    def graph_ended(self) -> None:
        """The host gave this run up: another node failed, or took the cancel that was meant for all.

        Which of the two, the host tells when it has put the graph away. Until then nothing more is bought: only calls
        that were sent already go on, into the history.
        """
        if is_interrupted():
            self.token.cancel()
        if self.ending is None:
            self.ending = time.monotonic() + _STATUS_SECONDS
        for call in self.calls:
            call.cancel.drop()

    def settle(self, now: float) -> bool:
        """After the end of the graph: whether it is known how it ended, and told. Called from the watching thread."""
        outcome = prompt_outcome(self.run)
        if self.ending is None or not (outcome or now > self.ending):
            return False
        if outcome == "interrupted":
            self.token.cancel()
        self._tell_end()
        return True

    async def show_progress(self) -> None:
        calls = self.calls
        value = round(progress([call.report for call in calls]) * 100 * len(calls))
        if calls and value != self._shown:
            self._shown = value
            await set_progress(self.node_id, value, 100 * len(calls))

    def failure(self) -> NanoBananaError:
        """The error of a node for which nothing came: its reason, or its reasons if they differ."""
        errors: list[NanoBananaError] = []
        for execution in self.executions:
            of_calls = [call.outcome.error for call in execution.calls if call.outcome]
            errors.extend(error for error in [execution.error, *of_calls] if error)
        if len(errors) == 1:
            return errors[0]
        reasons = [str(error) for error in merged(errors)]
        text = reasons[0] if len(reasons) == 1 else "\n".join(f"- {reason}" for reason in reasons)
        return NanoBananaError(f"All {len(errors)} calls failed.\n{text}")

    async def leave(self) -> None:
        """An execution ended; the last one tells the page how the run did."""
        if not self.settled:
            return
        if self.ending is not None and not self.token.cancelled:
            return  # the watching thread goes on
        self._runs.forget(self)
        await self.show_progress()
        self._tell_end()

    def _tell_end(self) -> None:
        errors = [execution.error for execution in self.executions if execution.error]
        seconds = time.monotonic() - self._began
        self.events.ended(self.calls, errors, seconds, cancelled=self.token.cancelled)
        if errors or any(call.outcome and call.outcome.error for call in self.calls):
            self._runs.mark_incomplete(self.node_id)


class Runs:
    """The node runs of this process. `engine` is made when the first call starts."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], NodeRun] = {}
        self._watching: threading.Thread | None = None
        self._incomplete: dict[str, int] = {}

    def begin(self, node_id: str, prepare: Callable[[str], Job]) -> Execution:
        """Start an execution; its calls run when this returns, before the host's loop turns to a blocking neighbour.

        `prepare` gets the run's id, must be quick, and may raise `NanoBananaError`, which `Execution.result` raises.
        """
        run = run_id() or f"{time.time():.6f}"
        with self._lock:
            group = self._active.get((run, node_id))
            if group is None:
                group = self._active[run, node_id] = NodeRun(self, run, node_id)
            execution = Execution(group)
            group.executions.append(execution)
            if self._watching is None:
                self._watching = threading.Thread(target=self._watch, name="nanobanana-watch", daemon=True)
                self._watching.start()
        execution.start(self._engine, prepare)
        return execution

    def _watch(self) -> None:
        """Pass a cancel on while a local node blocks the loop, and report where calls stand. Ends when nothing runs."""
        pause = threading.Event()
        for look in itertools.count():
            with self._lock:
                groups = list(self._active.values())
                if not groups:
                    self._watching = None
                    return
            now = time.monotonic()
            for group in groups:
                if group.ending is not None and group.settle(now):
                    self.forget(group)
            if is_interrupted():
                for group in groups:
                    if group.ending is None:
                        group.token.cancel()
            elif look % _LOOKS_PER_EVENT == 0:
                for group in groups:
                    if group.ending is None:
                        group.say()
            pause.wait(_WATCH_SECONDS)

    def forget(self, group: NodeRun) -> None:
        with self._lock:
            self._active.pop((group.run, group.node_id), None)

    def mark_incomplete(self, node_id: str) -> None:
        with self._lock:
            self._incomplete[node_id] = self._incomplete.get(node_id, 0) + 1

    def incomplete(self, node_id: str) -> int:
        """How often this node ended with something missing: part of its fingerprint, so it runs again for the rest."""
        return self._incomplete.get(node_id, 0)
