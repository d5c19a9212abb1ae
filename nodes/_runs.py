"""One execution of one node: its calls start in threads at once and are followed on the host's loop.

A list of N inputs makes N executions of one node at a time. The host fails the whole node as soon as one of them
raises, so an execution for which nothing came waits for the others: it raises only when nothing came for any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..nanobanana.calls.engine import Call, Engine, Sizes
from ..nanobanana.calls.models import Order, Outcome
from ..nanobanana.cancel import CancelToken
from ..nanobanana.errors import NanoBananaError, merged
from ..nanobanana.image_request import ImageRequest
from ..nanobanana.imaging.codec import DecodedImage
from ._events import RunEvents, info, progress
from ._host import (
    graph_of,
    interruption,
    is_interrupted,
    page_sender,
    prompt_outcome,
    run_id,
    set_progress,
    workflow_id,
)
from ._inputs import Seen, graph_nodes, signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._tensors import Tensor

_POLL_SECONDS = 0.1
# How often to read the host's cancel flag: a local node that blocks the loop may clear it before the loop turns.
_WATCH_SECONDS = 0.025
_LOOKS_PER_EVENT = 8
# How long to wait for what the host says about a graph that ended.
_STATUS_SECONDS = 10.0
# How long the calls of a cancelled run may take to end before the page is told all the same.
_CANCEL_SECONDS = 1.0
# A list's executions each begin within one turn of the loop; one that failed waits this long for the others to appear.
_LIST_SETTLES = 0.05

Convert = Callable[[DecodedImage], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True)
class Job:
    """What an execution wants: `count` variations of `order`; `convert` makes IMAGE and MASK, in the call's thread.

    `levels`: gives an IMAGE as [H,W,3] uint8, where that isn't what came: then it is shown and kept, too.
    """

    order: Order
    count: int
    convert: Convert
    levels: Callable[[Tensor], NDArray[np.uint8]] | None = None


@dataclass
class Result:
    """What an execution got: `images` and `masks` hold a tensor an image, in the order of the variations."""

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
        """JSON, see `_events.info`."""
        return info(self.outcomes, request, error=self.error, seconds=self.seconds)


class Execution:
    """One `execute` of a node. Everything in it but `converted` and `finished` runs on the host's loop."""

    def __init__(self, group: NodeRun) -> None:
        self._group = group
        self._number = len(group.executions)
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

        # Kept apart from the tensors that go into the graph, which may be dropped before `finished` begins.
        to_show: dict[int, list[Tensor]] = {}

        def converted(outcome: Outcome) -> Sizes:
            """In the call's thread: the tensors are made there, while other calls still run."""
            made = [job.convert(one.image) for one in outcome.images]
            self._tensors[outcome.variation] = made
            if job.levels:
                to_show[outcome.variation] = [image for image, _ in made]
            return tuple((int(image.shape[2]), int(image.shape[1])) for image, _ in made)

        def finished(outcome: Outcome) -> None:
            """In the call's thread. The graph goes on first; what is shown and kept of it follows."""
            # The loop is closed if the host gave up on this run; the call still finishes in the history.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)
            made = to_show.pop(outcome.variation, [])
            shown = [job.levels(image) for image in made] if job.levels else []
            names = [starting.keep_composite(one.id, image) for one, image in zip(outcome.images, shown, strict=False)]
            self._group.events.images(outcome, self._number, shown, names)

        for variation in range(job.count):
            token = CancelToken(self._group.token)
            self.calls.append(starting.start(job.order, variation, token, convert=converted, on_done=finished))

    def let_go(self) -> None:
        """Drop the images: calls and this refer to each other, so they would stay until the garbage collector comes."""
        self._tensors.clear()
        for call in self.calls:
            if call.outcome:
                call.outcome = replace(call.outcome, images=())

    @property
    def done(self) -> bool:
        return all(call.done for call in self.calls)

    @property
    def delivered(self) -> bool:
        return self.done and any(call.sizes for call in self.calls)

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
                    # Without what lies behind it: other programs' words, which the console may not take.
                    raise self._group.failure() from None
            return self._result()
        except asyncio.CancelledError:
            self._group.graph_ended()
            raise
        finally:
            self.ended = True
            await self._group.leave()

    async def _turn(self, seconds: float) -> None:
        if self._group.cancelled or is_interrupted():
            self._group.cancel()
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
        # The parent of the calls' tokens. Committed: a drop reaches each of them, and does not cancel them all.
        self.token = CancelToken()
        self.token.commit()
        self.cancelled = self.skips = False
        self.executions: list[Execution] = []
        # Until when the host may say how the graph ended, in seconds of the monotonic clock; None while it runs.
        self.ending: float | None = None
        self._told = False
        self.events = RunEvents(page_sender(), node_id=node_id, run=run, workflow=workflow_id(run))
        self._signature = signature(graph_nodes(graph_of(run)), node_id)
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

    def cancel(self) -> None:
        """The person cancelled the graph. What was sent is paid for, and goes on if the profile says so."""
        self.cancelled = True
        self.token.drop()
        for call in self.calls:
            if not call.order.profile.finish_after_cancel:
                call.cancel.cancel()

    def graph_ended(self) -> None:
        """The host gave this run up: another node failed, or took the cancel that was meant for all.

        Which of the two, the host tells when it has put the graph away. Until then nothing more is bought: only calls
        that were sent already go on, into the history.
        """
        if is_interrupted():
            self.cancel()
        if self.ending is None:
            self.ending = time.monotonic() + _STATUS_SECONDS
        self.token.drop()

    def settle(self, now: float) -> bool:
        """After the end of the graph: tell how it ended, once that is known, and again when the last call has ended.

        Returns whether it has. Called from the watching thread.
        """
        if self.ending is None:
            return False
        done = all(call.done for call in self.calls)
        if not self._told:
            outcome = "" if self.cancelled else prompt_outcome(self.run)
            if outcome == "interrupted":
                self.cancel()
            # What a cancelled call cost is known once it has ended, which takes a moment.
            ended = all(call.done or not call.cancel.cancelled for call in self.calls)
            if not (ended if self.cancelled else outcome) and now <= self.ending:
                return False
            self._tell_end()
        elif done:
            self._tell_end()
        return done

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
        reasons = [error.text for error in merged(errors)]
        text = reasons[0] if len(reasons) == 1 else "\n".join(f"- {reason}" for reason in reasons)
        return NanoBananaError(f"All {len(errors)} calls failed.\n{text}")

    async def leave(self) -> None:
        """An execution ended; the last one tells the page how the run did, or leaves that to the watching thread."""
        if not self.settled:
            return
        if self.cancelled and self.ending is None:
            self.ending = time.monotonic() + _CANCEL_SECONDS
        if self.ending is not None:
            return
        self._runs.forget(self)
        await self.show_progress()
        self._tell_end()

    def _tell_end(self) -> None:
        errors = [execution.error for execution in self.executions if execution.error]
        seconds = time.monotonic() - self._began
        flags = {"cancelled": self.cancelled, "given_up": self.ending is not None, "skips": self.skips}
        self.events.ended(self.calls, errors, seconds, **flags)
        self._runs.seen.note(self._signature, [call for one in self.executions for call in one.calls[:1]])
        if errors or any(call.outcome and call.outcome.error for call in self.calls):
            self._runs.mark_incomplete(self.node_id)
        self._told = True
        for execution in self.executions:
            execution.let_go()


class Runs:
    """The node runs of this process. `engine` is made when the first call starts."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], NodeRun] = {}
        self._watching: threading.Thread | None = None
        self._incomplete: dict[str, int] = {}
        self.seen = Seen()

    def begin(self, node_id: str, prepare: Callable[[str], Job], *, skips: bool = False) -> Execution:
        """Start an execution; its calls run when this returns, before the host's loop turns to a blocking neighbour.

        `prepare` gets the run's id, must be quick, and may raise `NanoBananaError`, which `Execution.result` raises.
        `skips`: whether what lies behind a failure is skipped.
        """
        run = run_id() or f"{time.time():.6f}"
        with self._lock:
            group = self._active.get((run, node_id))
            if group is None:
                group = self._active[run, node_id] = NodeRun(self, run, node_id)
            group.skips = skips
            execution = Execution(group)
            group.executions.append(execution)
            if self._watching is None:
                watching = threading.Thread(target=self._watch, name="nanobanana-watch", daemon=True)
                with contextlib.suppress(RuntimeError):
                    watching.start()
                    self._watching = watching
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
            graphs = [group for group in groups if group.ending is None]
            if graphs and is_interrupted():
                for group in graphs:
                    group.cancel()
            elif look % _LOOKS_PER_EVENT == 0:
                for group in graphs:
                    group.say()
            pause.wait(_WATCH_SECONDS)

    def stop(self) -> tuple[int, int]:
        """Cancel all that runs, also after its graph; returns how many calls, and how many of them were sent."""
        with self._lock:
            groups = list(self._active.values())
        running = [call for group in groups for call in group.calls if not (call.done or call.cancel.cancelled)]
        sent = sum(call.cancel.committed for call in running)
        for group in groups:
            group.cancelled = True
            group.token.cancel()
        return len(running), sent

    def forget(self, group: NodeRun) -> None:
        with self._lock:
            self._active.pop((group.run, group.node_id), None)

    def mark_incomplete(self, node_id: str) -> None:
        with self._lock:
            self._incomplete[node_id] = self._incomplete.get(node_id, 0) + 1

    def incomplete(self, node_id: str) -> int:
        """How often this node ended with something missing: part of its fingerprint, so it runs again for the rest."""
        return self._incomplete.get(node_id, 0)
