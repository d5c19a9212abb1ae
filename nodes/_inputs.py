"""Inputs, outputs and checks that nodes share; every list of choices comes from the catalog."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..nanobanana.catalog import ASPECT_RATIOS, DEFAULT_MODEL, MODEL_NAMES, MOST_COUNT, MOST_INPUTS, OUTPUT_FORMATS
from ..nanobanana.errors import ConfigError, Log, NanoBananaError
from ..nanobanana.settings.profile import Profile
from ._host import advanced, blocker, input_file, io
from ._services import profiles, runs

if TYPE_CHECKING:
    from ..nanobanana.calls.engine import Call
    from ..nanobanana.image_request import ImageRequest
    from ._runs import Job

_log = Log(__name__)

CATEGORY = "NanoBanana"
MOST_SEED = 2**64 - 1
STOP, SKIP = "stop the run", "skip what lies behind"
_IN_REQUEST = ("model", "output_format", "count", "seed", "connection", "on_failure")
_DEEPEST = 100
_LONGEST_FILE = 256
_MOST_SEEN = 500
IMAGE_NAMES = tuple(f"image_{number}" for number in range(1, MOST_INPUTS + 1))
Connection: Any = io.Custom("NANOBANANA_CONNECTION")


def model_names() -> list[str]:
    """The documented models, then those added in the settings of any profile."""
    extra: list[str] = []
    try:
        store = profiles()
        for name in store.names():
            extra.extend(store.stored(name).extra_models)
    except (ConfigError, OSError):
        # Unreadable settings are reported when a node runs; the menu must still open.
        _log.warning("The extra models of the settings could not be read", exc_info=True)
    return list(dict.fromkeys([*MODEL_NAMES, *extra]))


def prompt_input(tooltip: str, placeholder: str) -> Any:
    return io.String.Input("prompt", multiline=True, default="", placeholder=placeholder, tooltip=tooltip)


def model_input() -> Any:
    return io.Combo.Input(
        "model",
        options=model_names(),
        default=DEFAULT_MODEL,
        tooltip="Which model makes the image, and at which size. 1K, 2K and 4K are the longer side in thousands of "
        "pixels. More models can be added in Settings > NanoBanana.",
    )


def aspect_ratio_input(*, auto: bool) -> Any:
    if auto:
        return io.Combo.Input(
            "aspect_ratio",
            options=["auto", *ASPECT_RATIOS],
            default="auto",
            tooltip="Width to height of the result. auto: the listed ratio nearest to the first image's.",
        )
    return io.Combo.Input(
        "aspect_ratio", options=list(ASPECT_RATIOS), default="1:1", tooltip="Width to height of the result."
    )


def closing_inputs() -> list[Any]:
    """`output_format`, `count`, `seed`: the last required inputs of every node that calls the gateway."""
    return [
        io.Combo.Input(
            "output_format",
            options=list(OUTPUT_FORMATS),
            default="png",
            tooltip="The file format that the gateway sends. png loses nothing; jpeg and webp arrive sooner.",
        ),
        io.Int.Input(
            "count",
            default=1,
            min=1,
            max=MOST_COUNT,
            tooltip="How many images. Each one is a call of its own and is paid for; they run side by side. "
            "Raising the count later buys only the images that are missing.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=MOST_SEED,
            control_after_generate=True,
            tooltip="Names a variation; it is not sent to the gateway. The same inputs and seed give the same image "
            "again from the history, at no cost, also after a restart. Another seed buys a new image.",
        ),
    ]


def connection_input() -> Any:
    return Connection.Input(
        "connection",
        optional=True,
        tooltip="Which profile of Settings > NanoBanana is used. Not connected: the default profile.",
    )


def on_failure_input() -> Any:
    return advanced(
        io.Combo.Input,
        "on_failure",
        options=[STOP, SKIP],
        default=STOP,
        optional=True,
        tooltip="When no image comes: stop the run with the reason, or say it on the node and skip only the nodes that "
        "need the image, so that one refused image doesn't end a long queue.",
    )


def image_outputs() -> list[Any]:
    return [
        io.Image.Output(
            "image", display_name="image", is_output_list=True, tooltip="The images, each in the size that came."
        ),
        io.Mask.Output(
            "mask",
            display_name="mask",
            is_output_list=True,
            tooltip="1 where an image is transparent; all zero for an image without transparency.",
        ),
        io.String.Output("text", display_name="text", tooltip="What the model said besides the images."),
        io.String.Output(
            "info",
            display_name="info",
            tooltip="JSON: model, ratio, format, pixels, url, request id, seconds, bytes, billed, source, warnings.",
        ),
    ]


@dataclass(frozen=True)
class GraphNode:
    """A node as the host's API has it. A link in `inputs` is a list: the node's id and its output's number."""

    kind: str
    inputs: Mapping[str, Any]

    @property
    def sources(self) -> list[str]:
        """The ids of the nodes that it gets something from."""
        return [link[0] for link in map(link_of, self.inputs.values()) if link]


Graph = Mapping[str, GraphNode]


def link_of(value: object) -> tuple[str, object] | None:
    """(id of a node, number of its output) of an input that is wired, else None."""
    parts = cast("list[object]", value) if isinstance(value, list) else []
    return (str(parts[0]), parts[1]) if len(parts) == 2 else None


def graph_nodes(value: object) -> Graph:
    """A graph in the host's API format, without what isn't a node."""
    found: dict[str, GraphNode] = {}
    for name, node in cast("dict[str, Any]", value).items() if isinstance(value, dict) else ():
        parts = cast("dict[str, Any]", node) if isinstance(node, dict) else {}
        inputs = parts.get("inputs")
        if isinstance(inputs, dict):
            found[name] = GraphNode(str(parts.get("class_type")), cast("dict[str, Any]", inputs))
    return found


def signature(graph: Graph, node_id: str) -> str:
    """A digest of what shapes the images of a node and isn't in a request: its inputs, and all nodes behind them.

    What the request says by itself is left out, so that it may change. Empty for a node that isn't in the graph.
    """

    def described(name: str, depth: int) -> object:
        node = graph.get(name)
        if node is None or depth > _DEEPEST:
            return None
        left_out = _IN_REQUEST if depth == 0 else ()
        return [node.kind, {key: value_of(value, depth) for key, value in node.inputs.items() if key not in left_out}]

    @functools.cache
    def below(name: str, depth: int) -> str:
        return hashlib.sha256(json.dumps(described(name, depth), sort_keys=True, default=str).encode()).hexdigest()

    def value_of(value: object, depth: int) -> object:
        if link := link_of(value):
            return [below(link[0], depth + 1), link[1]]
        # A file may be another one under the same name.
        return [value, input_file(value)] if isinstance(value, str) and 0 < len(value) < _LONGEST_FILE else value

    return below(node_id, 0) if node_id in graph else ""


class Seen:
    """What nodes asked for in this process, by `signature`: the requests of their lists' items, with image digests."""

    def __init__(self) -> None:
        self._wanted: OrderedDict[str, list[tuple[ImageRequest, tuple[str, ...]]]] = OrderedDict()

    def note(self, name: str, calls: Sequence[Call]) -> None:
        """`calls`: one for each item of the node's list."""
        wanted = [(call.order.request, call.digests) for call in calls if call.digests is not None]
        if name and wanted:
            self._wanted[name] = wanted
            self._wanted.move_to_end(name)
            while len(self._wanted) > _MOST_SEEN:
                self._wanted.popitem(last=False)

    def find(self, name: str) -> list[tuple[ImageRequest, tuple[str, ...]]] | None:
        return self._wanted.get(name)


def chosen_profile(connection: str | None) -> Profile:
    """The profile that the connection names, else the default one. Raises `ConfigError`."""
    return profiles().get(connection or "default")


async def outputs(node_id: str, prepare: Callable[[str], Job], on_failure: str) -> io.NodeOutput:
    """One execution of the node `node_id`: image, mask, text, info. Its calls run before the first await.

    `prepare` gets the run's id and returns what is wanted; an error that it raises becomes the execution's.
    With `on_failure` as `SKIP` the node doesn't fail; whatever needs its outputs is skipped by the host.
    """
    # Begun at once: the host may hand the loop to a blocking node right after.
    execution = runs().begin(node_id, prepare, skips=on_failure == SKIP)
    try:
        result = await execution.result()
    except NanoBananaError as error:
        if on_failure != SKIP:
            raise
        _log.warning("What lies behind node %s is skipped: %s", node_id, error)
        return io.NodeOutput(*[blocker()] * len(image_outputs()))
    return io.NodeOutput(result.images, result.masks, result.text, result.info(execution.request))
