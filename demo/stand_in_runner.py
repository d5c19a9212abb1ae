"""Runs graphs in the stand-in host, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outcome import STATUS, OnStatus, Outcome
from stand_in import InvalidPrompt, StandIn
from stand_in.state import Event
from workflow_graph import Graph


class StandInRunner:
    """`outcome.Host` over an open stand-in whose folders are below `folder`."""

    name = "the stand-in for ComfyUI"

    def __init__(self, host: StandIn, folder: Path) -> None:
        self._host = host
        self._folder = folder

    def object_info(self) -> dict[str, Any]:
        return self._host.object_info()

    def run(self, graph: Graph, on_status: OnStatus) -> Outcome:
        def on_event(event: Event) -> None:
            if event.kind == STATUS:
                on_status(event.data["data"])

        prompt = {
            node_id: {"class_type": node["class_type"], "inputs": node["inputs"]} for node_id, node in graph.items()
        }
        self._host.state.on_event = on_event
        try:
            run = self._host.run(prompt)
        except InvalidPrompt as error:
            return Outcome("error", 0.0, str(error))
        outcome = Outcome(run.status, run.seconds, run.failure.message if run.failure else "")
        outcome.node_seconds = {node_id: node.seconds for node_id, node in run.nodes.items()}
        for node_id, ui in run.ui.items():
            files = [self._folder / one["type"] / one["subfolder"] / one["filename"] for one in ui.get("images", [])]
            if files:
                outcome.images[node_id] = [file.read_bytes() for file in files]
            if "text" in ui:
                outcome.texts[node_id] = [str(text) for text in ui["text"]]
        return outcome
