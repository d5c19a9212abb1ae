"""The stand-in itself: open it, ask what nodes it has, run prompts, interrupt them."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .core_nodes import core_nodes
from .execution import Executor, Run
from .io_node import ComfyNode
from .loading import load_pack, register
from .model_nodes import model_nodes
from .modules import host_modules
from .prompt import InvalidPrompt, Prompt, check
from .state import Event, HostState

__all__ = ["InvalidPrompt", "Run", "StandIn"]


class _Interrupt(BaseException):
    """`InterruptProcessingException`; a BaseException from 0.20 on."""


class _InterruptBefore020(Exception):
    """`InterruptProcessingException` before 0.20."""


class StandIn:
    """A host for `packs` (name under `custom_nodes` -> folder), used as a context manager.

    While it is open, the host's modules are in `sys.modules`; only one can be open in a process. `folder` holds
    the host's `input`, `output`, `temp` and `user` folders. `floor`: pretend to be an old host, with the API of 0.11.
    `without`: modules, or `module:member`s, that this host lacks.
    `extra_nodes` join the core nodes. `on_event` is called, in any thread, for everything that a browser would be sent.
    """

    def __init__(
        self,
        packs: Mapping[str, Path],
        folder: Path,
        *,
        floor: bool = False,
        without: Sequence[str] = (),
        extra_nodes: Sequence[type[ComfyNode]] = (),
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        interrupt = _InterruptBefore020 if floor else _Interrupt
        self.state = HostState(folder, floor, interrupt, on_event)
        self._packs = dict(packs)
        self._without = without
        self._extra = list(extra_nodes)
        self._open = ExitStack()

    def __enter__(self) -> StandIn:
        with ExitStack() as opening:
            modules = opening.enter_context(host_modules(self.state, self._without))
            server_class = getattr(modules.get("server"), "PromptServer", None)
            # None if this host lacks a server: the stand-in itself needs none.
            self.server: Any = getattr(server_class, "instance", None)
            self.nodes: dict[str, type[ComfyNode]] = register(
                [*core_nodes(self.state), *model_nodes(), *self._extra], "nodes"
            )
            for name, folder in self._packs.items():
                self.nodes |= asyncio.run(load_pack(folder, name, floor=self.state.floor))
            self._executor = Executor(self.nodes, self.state)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def events(self) -> list[Event]:
        """Everything that a browser would have been sent so far."""
        return list(self.state.events)

    def object_info(self) -> dict[str, Any]:
        """What `GET /object_info` would answer, as JSON values."""
        served = {name: node.GET_SCHEMA().served(node.RELATIVE_PYTHON_MODULE) for name, node in self.nodes.items()}
        return json.loads(json.dumps(served))

    def run(self, prompt: Prompt) -> Run:
        """Run an API graph to its end, in the calling thread.

        Raises:
            InvalidPrompt: the host would have refused it with a 400, and nothing ran.
        """
        own = copy.deepcopy(prompt)
        outputs = check(own, self.nodes)
        prompt_id = uuid.uuid4().hex
        running: dict[int, Any] = {} if self.server is None else self.server.prompt_queue.currently_running
        running[0] = (0, prompt_id, own, {}, outputs)
        try:
            done = self._executor.run(own, outputs, prompt_id)
        finally:
            running.clear()
        if self.server is not None:
            # An interrupt is an error to the host, and only a message tells them apart.
            messages: list[tuple[str, dict[str, Any]]] = []
            if done.status == "interrupted":
                messages.append(("execution_interrupted", {}))
            status = {"status_str": "success" if done.status == "success" else "error", "messages": messages}
            self.server.prompt_queue.history[prompt_id] = {"outputs": {}, "status": status}
        return done

    def interrupt(self) -> None:
        """What `POST /interrupt` does; from any thread."""
        self.state.set_interrupted(True)
