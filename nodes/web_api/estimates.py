"""What the next run of a graph will buy: the history is asked before anything runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from ...nanobanana.calls.models import fingerprint
from ...nanobanana.errors import ConfigError
from ...nanobanana.image_request import ImageRequest, split_prompts
from ...nanobanana.journal import CallKey, history
from ...nanobanana.settings.profile import DEFAULT_NAME, Profile
from .._inputs import Graph, GraphNode, graph_nodes, link_of, signature
from .._services import journal, profiles, runs
from .http import RouteRequest

_CALLING = ("NanoBananaGatewayGenerate", "NanoBananaGatewayEdit")
# Nodes whose output is what they hold: their text is known before they run.
_HOLDERS = ("PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt")
_FIELDS = ("model", "prompt", "aspect_ratio", "output_format", "seed")
_MOST_CALLS = 4096
# How many nodes that only hand a text on are followed.
_DEEPEST = 5

Wanted = list[tuple[ImageRequest, tuple[str, ...]]]


def estimate(request: RouteRequest) -> object:
    """Of `graph`, as the host's API has it: by node, what a run buys; by profile, its limits and what is spent.

    `calls`: how many images a node asks for. `known`: `written` where the graph says what each of them is, `seen` where
    an earlier run has told, which holds as long as the nodes before this one give the same; empty where only a run can
    tell: then `calls` and `buys` are for one item of a list, and none of them is taken to be in the history.
    """
    graph = graph_nodes(request.body.get("graph"))
    nodes: dict[str, dict[str, Any]] = {}
    used: dict[str, Profile] = {}
    calling = [name for name, node in graph.items() if node.kind in _CALLING]
    # What comes earlier in the graph has fewer nodes behind it.
    for name in sorted(calling, key=lambda name: len(_behind(graph, name))):
        profile = _profile(graph, graph[name])
        if profile is not None:
            used[profile.name] = profile
            nodes[name] = _of_node(graph, name, profile, nodes)
    return {"nodes": nodes, "profiles": {name: _limits(profile) for name, profile in used.items()}}


def _of_node(graph: Graph, name: str, profile: Profile, before: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    inputs = graph[name].inputs
    count = inputs.get("count")
    count = count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < _MOST_CALLS else 1
    written = _written(graph, name) if graph[name].kind == _CALLING[0] else None
    wanted = _seen(graph, name, before) if written is None else [(one, ()) for one in written]
    model = _text(inputs.get("model"))
    keys: list[CallKey] = []
    for item, digests in (wanted or [])[:_MOST_CALLS]:
        keys += [CallKey(fingerprint(item, profile, digests), variation) for variation in range(count)]
    keys = list(dict.fromkeys(keys))
    return {
        "calls": count if wanted is None else len(keys),
        "buys": count if wanted is None else len(keys) - journal().count_free(keys),
        "known": "written" if written is not None else "seen" if wanted is not None else "",
        "price": None if profile.is_simulated else profile.prices.get(model),
        "currency": profile.currency,
        "profile": profile.name,
        "usual_seconds": round(journal().look(history.usual_seconds(model, profile.base_url)), 1),
        "simulated": profile.is_simulated,
    }


def _seen(graph: Graph, name: str, before: Mapping[str, dict[str, Any]]) -> Wanted | None:
    """What a node asked for in an earlier run, with what has changed in it since; None if there was none like it."""
    if any(before[one]["buys"] for one in _behind(graph, name) if one in before):
        return None
    seen = runs().seen.find(signature(graph, name))
    if seen is None:
        return None
    changes = {field: _values(graph, graph[name].inputs.get(field)) for field in ("model", "output_format", "seed")}
    if any(values is None or len(values) != 1 for values in changes.values()):
        return None
    now = {field: values[0] for field, values in changes.items() if values}
    return [(replace(item, **now), digests) for item, digests in seen]


def _written(graph: Graph, name: str) -> list[ImageRequest] | None:
    """The requests of a Generate node whose inputs are all written in the graph."""
    values = [_values(graph, graph[name].inputs.get(field)) for field in _FIELDS]
    lists = [one for one in values if one]
    if len(lists) < len(values):
        return None
    # As the host runs a node for each item of a list: a shorter one repeats its last.
    rows = [[one[min(at, len(one) - 1)] for one in lists] for at in range(max(map(len, lists)))]
    fits = all(isinstance(value, str) for *texts, _ in rows for value in texts)
    fits = fits and all(isinstance(row[-1], int) for row in rows)
    return [ImageRequest(*row) for row in rows] if fits else None


def _values(graph: Graph, value: object, depth: int = 0) -> list[Any] | None:
    """What an input gets, one value or a list's; None if only a run can tell."""
    if not isinstance(value, list):
        return None if value is None else [value]
    link = link_of(cast("object", value))
    node = graph.get(link[0]) if link and depth < _DEEPEST else None
    if node is None:
        return None
    if node.kind in _HOLDERS:
        return _values(graph, node.inputs.get("value"), depth + 1)
    texts = _values(graph, node.inputs.get("text"), depth + 1) if node.kind == "NanoBananaGatewayPrompts" else None
    if texts is None or not isinstance(texts[0], str):
        return None
    return split_prompts(texts[0])


def _profile(graph: Graph, node: GraphNode) -> Profile | None:
    """The profile that a node will use; None if only a run can tell, or if it can't be used."""
    name: object = DEFAULT_NAME
    if link := link_of(node.inputs.get("connection")):
        source = graph.get(link[0])
        name = source.inputs.get("profile") if source and source.kind == "NanoBananaGatewayConnection" else None
    try:
        return profiles().get(name) if isinstance(name, str) else None
    except ConfigError:
        return None


def _limits(profile: Profile) -> dict[str, object]:
    now = datetime.fromtimestamp(time.time()).replace(hour=0, minute=0, second=0, microsecond=0)
    limits = {"daily": (profile.daily_limit, now), "monthly": (profile.monthly_limit, now.replace(day=1))}
    return {
        "currency": profile.currency,
        **{
            name: {"limit": limit, "spent": journal().look(history.spent(profile.name, since.timestamp()))}
            for name, (limit, since) in limits.items()
            if limit and not profile.is_simulated
        },
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _behind(graph: Graph, name: str) -> set[str]:
    """All nodes that a node depends on."""
    found: set[str] = set()
    pending = graph[name].sources
    while pending:
        one = pending.pop()
        if one in graph and one not in found:
            found.add(one)
            pending += graph[one].sources
    return found
