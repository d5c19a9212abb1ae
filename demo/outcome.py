"""The result of running one graph, whichever host ran it, and what can be watched meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from workflow_graph import Graph

OnStatus = Callable[[Mapping[str, Any]], None]
"""Called with each `nanobanana.status` event: what the node's panel shows."""
STATUS = "nanobanana.status"


@dataclass
class Outcome:
    """`images`: for each output node, the files it wrote. `node_seconds`: how long each node ran."""

    status: Literal["success", "error", "interrupted"]
    seconds: float
    message: str = ""
    node_seconds: dict[str, float] = field(default_factory=dict[str, float])
    images: dict[str, list[bytes]] = field(default_factory=dict[str, "list[bytes]"])
    texts: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])


class Host(Protocol):
    """Something that runs API graphs."""

    name: str

    def object_info(self) -> dict[str, Any]:
        """The host's nodes, as `GET /object_info` serves them."""
        ...

    def run(self, graph: Graph, on_status: OnStatus) -> Outcome:
        """Run `graph` to its end, however it ends."""
        ...
