"""Runs an API graph with the host's rules: order, concurrency, list mapping, caching, errors and interrupts.

What matters to a node that waits for a network, and works here as in ComfyUI 0.33:

- Each prompt has an event loop of its own. Ready asynchronous nodes are started first and run side by side; after
  each start the loop turns once, then a synchronous node may block it.
- A list of N inputs starts N tasks of one node at once. If the first of them end while the last ones return without
  suspending, the run fails: the host takes the tasks for their results.
- The first failure ends the prompt: tasks of other nodes get `CancelledError`.
- Nobody polls the interrupt flag for a node that is running.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from .io_node import ComfyNode, NodeOutput, Schema, locked_clone, required
from .prompt import Nodes, Prompt, is_link, link_targets, nested
from .signatures import hidden_values, signatures
from .state import ExecutingContext, HostState


@dataclass
class NodeRun:
    """When a node ran, in seconds of `time.perf_counter`. `cached`: its outputs came from an earlier prompt."""

    started: float
    ended: float = 0.0
    cached: bool = False

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True)
class NodeFailure:
    """What the host sends to every client about a failed node."""

    node_id: str
    class_type: str
    exception: BaseException
    message: str
    traceback: tuple[str, ...]


@dataclass
class Run:
    """How one prompt ended. `outputs`: for each node, for each of its outputs, the list of values."""

    status: Literal["success", "error", "interrupted"] = "success"
    failure: NodeFailure | None = None
    nodes: dict[str, NodeRun] = field(default_factory=dict[str, NodeRun])
    outputs: dict[str, list[list[Any]]] = field(default_factory=dict[str, "list[list[Any]]"])
    ui: dict[str, dict[str, list[Any]]] = field(default_factory=dict[str, "dict[str, list[Any]]"])
    seconds: float = 0.0


@dataclass(frozen=True)
class _Cached:
    outputs: list[list[Any]]
    ui: dict[str, list[Any]]


Results = list[Any]


class Executor:
    """Runs prompts one after the other and keeps the outputs of the last one, as the host's classic cache does."""

    def __init__(self, nodes: Nodes, state: HostState) -> None:
        self._nodes = nodes
        self._state = state
        self._cache: dict[Any, _Cached] = {}

    def run(self, prompt: Prompt, output_ids: list[str], prompt_id: str) -> Run:
        """Run a checked prompt to its end in an event loop of its own. Returns however it ended, and never raises."""
        started = time.perf_counter()
        self._state.set_interrupted(False)
        run = Run()
        with torch.inference_mode():
            asyncio.run(_PromptRun(self._nodes, self._state, self._cache, prompt, prompt_id, run).execute(output_ids))
        run.seconds = time.perf_counter() - started
        return run


class _PromptRun:
    def __init__(
        self, nodes: Nodes, state: HostState, cache: dict[Any, _Cached], prompt: Prompt, prompt_id: str, run: Run
    ) -> None:
        self._nodes = nodes
        self._state = state
        self._cache = cache
        self._prompt = prompt
        self._prompt_id = prompt_id
        self._run = run
        self._signatures: dict[str, Any] = {}
        self._blockers: dict[str, set[str]] = {}
        self._waiting: dict[str, Results] = {}
        self._unblocked = asyncio.Event()

    async def execute(self, output_ids: list[str]) -> None:
        self._signatures = await signatures(self._prompt, self._nodes)
        kept = set(self._signatures.values())
        for signature in [one for one in self._cache if one not in kept]:
            del self._cache[signature]
        for node_id in output_ids:
            self._add(node_id)
        while self._blockers:
            node_id = await self._next()
            try:
                finished = await self._step(node_id)
            except self._state.interrupt_exception as error:
                self._fail("interrupted", node_id, error)
                return
            except Exception as error:  # noqa: BLE001 - whatever a node raises ends the prompt, not the host
                self._fail("error", node_id, error)
                return
            if finished:
                self._finish(node_id)

    # The graph: a node is ready when nothing blocks it; it blocks itself while its tasks run.

    def _add(self, node_id: str) -> None:
        if node_id in self._blockers:
            return
        needed = {target for target in link_targets(self._prompt[node_id]) if not self._is_cached(target)}
        self._blockers[node_id] = needed if not self._is_cached(node_id) else set()
        for target in sorted(needed):
            self._add(target)

    async def _next(self) -> str:
        while True:
            ready = [node_id for node_id, blockers in self._blockers.items() if not blockers]
            if ready:
                return self._pick(ready)
            await self._unblocked.wait()
            self._unblocked.clear()

    def _pick(self, ready: list[str]) -> str:
        def is_output(node_id: str) -> bool:
            return self._schema(node_id).is_output_node

        def feeds_output(node_id: str) -> bool:
            return any(node_id in blockers and is_output(other) for other, blockers in self._blockers.items())

        def is_async(node_id: str) -> bool:
            return inspect.iscoroutinefunction(required(self._class(node_id), "execute"))

        first = [node_id for node_id in ready if is_output(node_id) or is_async(node_id)]
        return next(iter(first or [node_id for node_id in ready if feeds_output(node_id)] or ready))

    def _finish(self, node_id: str) -> None:
        self._run.nodes[node_id].ended = time.perf_counter()
        self._state.record("executed", node_id, output=self._run.ui.get(node_id, {}))
        del self._blockers[node_id]
        for blockers in self._blockers.values():
            blockers.discard(node_id)

    def _fail(self, status: Literal["error", "interrupted"], node_id: str, error: BaseException) -> None:
        class_type: str = self._prompt[node_id]["class_type"]
        lines = tuple(traceback.format_tb(error.__traceback__))
        self._run.status = status
        self._run.failure = NodeFailure(node_id, class_type, error, str(error), lines)
        self._run.nodes[node_id].ended = time.perf_counter()

    # One node.

    async def _step(self, node_id: str) -> bool:
        """True once the node's outputs are there, False while its tasks run."""
        if node_id in self._waiting:
            waited = self._waiting.pop(node_id)
            self._store(node_id, [one.result() if isinstance(one, asyncio.Task) else one for one in waited])
            return True
        self._run.nodes[node_id] = NodeRun(time.perf_counter())
        if self._is_cached(node_id):
            cached = self._cache[self._signatures[node_id]]
            self._run.nodes[node_id].cached = True
            self._run.outputs[node_id], self._run.ui[node_id] = cached.outputs, cached.ui
            return True
        self._state.record("executing", node_id)
        results = await self._call(node_id)
        # As the host's `get_output_data`: when each task is done, none of them is waited for, and they are the results.
        tasks: list[asyncio.Task[Any]] = [one for one in results if isinstance(one, asyncio.Task)]
        if any(not task.done() for task in tasks):
            self._waiting[node_id] = results
            self._blockers[node_id].add(node_id)
            self._watcher = asyncio.create_task(self._unblock_after(node_id, tasks))
            return False
        self._store(node_id, results)
        return True

    async def _unblock_after(self, node_id: str, tasks: list[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        self._blockers[node_id].discard(node_id)
        self._unblocked.set()

    async def _call(self, node_id: str) -> Results:
        node = self._class(node_id)
        schema = self._schema(node_id)
        lists = {key: self._values(value) for key, value in self._prompt[node_id]["inputs"].items()}
        if schema.is_input_list:
            calls: list[dict[str, Any]] = [lists]
        else:
            longest = max((len(values) for values in lists.values()), default=1)
            calls = [{key: values[min(i, len(values) - 1)] for key, values in lists.items()} for i in range(longest)]
        results: Results = []
        for index, values in enumerate(calls):
            self._state.throw_if_interrupted()
            context = ExecutingContext(self._prompt_id, node_id, index)
            method = required(locked_clone(node, hidden_values(schema, node_id, self._prompt)), "execute")
            results.append(await self._start(method, nested(schema, values), context))
        return results

    async def _start(
        self, method: Callable[..., Any], values: dict[str, Any], context: ExecutingContext
    ) -> NodeOutput | asyncio.Task[Any]:
        if not inspect.iscoroutinefunction(method):
            token = self._state.context.set(context)
            try:
                return _normalised(method(**values))
            finally:
                self._state.context.reset(token)

        async def in_context() -> NodeOutput:
            self._state.context.set(context)
            return _normalised(await method(**values))

        task = asyncio.create_task(in_context())
        await asyncio.sleep(0)
        return task.result() if task.done() else task

    def _store(self, node_id: str, results: Results) -> None:
        merged: list[list[Any]] = []
        for number, output in enumerate(self._schema(node_id).outputs):
            values = [one[number] for one in results]
            merged.append([item for value in values for item in value] if output.is_output_list else values)
        ui: dict[str, list[Any]] = {}
        for one in results:
            for key, items in one.ui.items():
                ui.setdefault(key, []).extend(items)
        self._run.outputs[node_id], self._run.ui[node_id] = merged, ui
        self._cache[self._signatures[node_id]] = _Cached(merged, ui)

    def _values(self, value: Any) -> list[Any]:
        return self._outputs_of(value[0])[value[1]] if is_link(value) else [value]

    def _outputs_of(self, node_id: str) -> list[list[Any]]:
        if node_id not in self._run.outputs:
            self._run.outputs[node_id] = self._cache[self._signatures[node_id]].outputs
        return self._run.outputs[node_id]

    def _class(self, node_id: str) -> type[ComfyNode]:
        return self._nodes[self._prompt[node_id]["class_type"]]

    def _schema(self, node_id: str) -> Schema:
        return self._class(node_id).GET_SCHEMA()

    def _is_cached(self, node_id: str) -> bool:
        return self._signatures[node_id] in self._cache


def _normalised(returned: Any) -> NodeOutput:
    if isinstance(returned, NodeOutput):
        return returned
    if returned is None:
        return NodeOutput()
    if isinstance(returned, tuple):
        return NodeOutput(*returned)
    raise TypeError(f"Invalid return type from node: {type(returned)}")
