"""What the next run will buy, told before it runs: in the stand-in host, with a gateway that counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gateway_faults import FaultyGateway
from graphs import generate, images, loaded, run, shown
from stand_in import StandIn

pytestmark = pytest.mark.slow

Hand = Callable[[torch.Tensor], dict[str, Any]]


def asked(**nodes: Any) -> dict[str, Any]:
    """The server's answer for a graph."""
    return loaded("nodes.web_api.estimates").estimate(SimpleNamespace(body={"graph": nodes}))


def priced(**changes: Any) -> None:
    profiles = loaded("nodes._services").profiles()
    profiles.save(profiles.stored().changed({"prices": {"NanoBananaPro-1K": 0.04}, **changes}))


def edit(inputs: dict[str, Any], prompt: str = "make it blue") -> dict[str, Any]:
    fixed = {"model": "NanoBananaPro-1K", "aspect_ratio": "1:1", "output_format": "png", "count": 1, "seed": 0}
    return {"class_type": "NanoBananaGatewayEdit", "inputs": {"prompt": prompt, **fixed, **inputs}}


def test_it_is_what_the_run_then_buys_and_nothing_once_it_is_there(host: StandIn, gateway: FaultyGateway) -> None:
    priced()
    graph = {"1": generate("a lighthouse", count=3), "out": shown("1")}
    said = asked(**graph)["nodes"]["1"]
    assert (said["calls"], said["buys"], said["known"], said["price"], said["currency"]) == (
        3,
        3,
        "written",
        0.04,
        "USD",
    )
    assert run(host, generate("a lighthouse", count=3)).status == "success"
    assert asked(**graph)["nodes"]["1"]["buys"] == 0
    more = {"1": generate("a lighthouse", count=4), "out": shown("1")}
    assert asked(**more)["nodes"]["1"]["buys"] == 1
    run(host, generate("a lighthouse", count=4))
    assert len(gateway.ledger.posts) == 4
    # Another seed, another model and another image are bought; nothing of this was sent by asking.
    for change in ({"seed": 5}, {"model": "NanoBanana2-1K"}, {"prompt": "another"}):
        other = {"1": generate(**{"prompt": "a lighthouse", "count": 4, **change})}
        assert asked(**other)["nodes"]["1"]["buys"] == 4
    assert len(gateway.ledger.posts) == 4


def test_a_list_is_counted_item_by_item(host: StandIn, gateway: FaultyGateway) -> None:
    prompts = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": ["9", 0]}}
    text = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "one\ntwo\n# not this\none"}}
    graph = {"1": generate(["8", 0], count=2), "8": prompts, "9": text}
    said = asked(**graph)["nodes"]["1"]
    # The same prompt twice is one image.
    assert (said["calls"], said["buys"]) == (4, 4)
    run(host, generate("two", count=2))
    assert asked(**graph)["nodes"]["1"]["buys"] == 2
    assert len(gateway.ledger.posts) == 2


def test_an_edit_is_known_once_it_ran_as_long_as_nothing_before_it_changes(
    host: StandIn, gateway: FaultyGateway, hand_over: Hand
) -> None:
    priced()
    given = hand_over(torch.rand(1, 64, 64, 3))
    other = hand_over(torch.rand(1, 64, 64, 3))
    node = edit({"images.image_1": ["2", 0]})

    def said(node: dict[str, Any], image: dict[str, Any]) -> tuple[int, str]:
        found = asked(**{"1": node, "2": image})["nodes"]["1"]
        return found["buys"], found["known"]

    assert said(node, given) == (1, "")
    assert len(images(run(host, node, **{"2": given}))) == 1
    assert said(node, given) == (0, "seen")
    assert said(node, other) == (1, "")
    # What the request itself says may change: its images are the same.
    assert said(edit({"images.image_1": ["2", 0], "count": 3}), given) == (2, "seen")
    assert said(edit({"images.image_1": ["2", 0], "seed": 7}), given) == (1, "seen")
    assert len(gateway.ledger.posts) == 1


def test_what_follows_an_image_that_must_be_bought_is_not_known(host: StandIn, gateway: FaultyGateway) -> None:
    first = generate("a lighthouse")
    node = edit({"images.image_1": ["2", 0]})
    run(host, node, **{"2": first})
    graph = {"1": node, "2": first}
    assert {name: one["buys"] for name, one in asked(**graph)["nodes"].items()} == {"1": 0, "2": 0}
    loaded("nodes._services").journal().clear()
    found = asked(**graph)["nodes"]
    assert {name: one["buys"] for name, one in found.items()} == {"1": 1, "2": 1}
    assert found["1"]["known"] == ""
    assert len(gateway.ledger.posts) == 2


def test_a_file_that_was_replaced_under_its_name_is_another_input(host: StandIn) -> None:
    inputs = loaded("nodes._inputs")
    folder = sys.modules["folder_paths"].get_input_directory()
    (path := __import__("pathlib").Path(folder) / "photo.png").write_bytes(b"one")
    load = {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}
    graph = inputs.graph_nodes({"1": edit({"images.image_1": ["2", 0]}), "2": load})
    before = inputs.signature(graph, "1")
    assert before == inputs.signature(graph, "1")
    path.write_bytes(b"another")
    assert before != inputs.signature(graph, "1")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "~/x.png", "../x.png", "a/../../x.png", "\\\\evil\\share\\x.png", "C:x.png"]
)
def test_no_file_outside_the_input_folder_is_looked_at(
    host: StandIn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def looked(name: str) -> str:
        raise AssertionError(name)

    monkeypatch.setattr(sys.modules["folder_paths"], "get_annotated_filepath", looked)
    assert loaded("nodes._host").input_file(name) is None


def test_the_usual_time_is_the_median_of_like_calls(host: StandIn) -> None:
    graph = {"1": generate("[latency:0.6] a lighthouse")}
    assert asked(**graph)["nodes"]["1"]["usual_seconds"] == 0
    for seed, latency in enumerate((0.3, 0.6, 1.2)):
        run(host, generate(f"[latency:{latency}] a lighthouse", seed=seed))
    assert 0.6 <= asked(**graph)["nodes"]["1"]["usual_seconds"] < 1.2
    other = {"1": generate("x", model="NanoBanana2-1K")}
    assert asked(**other)["nodes"]["1"]["usual_seconds"] == 0


def test_limits_come_with_what_is_spent(host: StandIn) -> None:
    priced(daily_limit=1.0, monthly_limit=20.0, currency="EUR")
    run(host, generate("a lighthouse", count=2))
    found = asked(**{"1": generate("a lighthouse", count=3)})
    assert found["profiles"] == {
        "default": {
            "currency": "EUR",
            "daily": {"limit": 1.0, "spent": pytest.approx(0.08)},
            "monthly": {"limit": 20.0, "spent": pytest.approx(0.08)},
        }
    }


@pytest.mark.parametrize(
    "graph",
    [
        None,
        [],
        {"1": None},
        {"1": {"class_type": "NanoBananaGatewayGenerate"}},
        {"1": {"class_type": "NanoBananaGatewayGenerate", "inputs": {}}},
        {"1": generate(["1", 0])},
        {"1": generate(["2", 0]), "2": {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": ["2", 0]}}},
        {"1": generate("x", seed=None, count="many", model=["gone", 0])},
        {"1": generate("x", connection=["2", 0]), "2": {"class_type": "Other", "inputs": {"profile": "default"}}},
        {"1": edit({"images.image_1": ["1", 0], "mask": []})},
    ],
)
def test_a_graph_that_makes_no_sense_is_no_error(host: StandIn, graph: object) -> None:
    estimate = loaded("nodes.web_api.estimates").estimate(SimpleNamespace(body={"graph": graph}))
    for node in estimate["nodes"].values():
        assert node["buys"] == node["calls"] == 1
