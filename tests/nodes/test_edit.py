"""NanoBanana Edit in a graph: which images go out, and what a mask protects."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from engines import wait_until
from gateway_faults import FaultyGateway
from graphs import edit, images, loaded, run
from PIL import Image
from stand_in import StandIn

pytestmark = pytest.mark.slow

HandOver = Callable[[torch.Tensor], dict[str, Any]]


def sent_images(gateway: FaultyGateway, number: int = 0) -> list[Image.Image]:
    body: Any = gateway.ledger.posts[number].body
    parts = body["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls]


def grey(level: float, height: int = 48, width: int = 64, batch: int = 1) -> torch.Tensor:
    return torch.full((batch, height, width, 3), level)


def test_images_go_out_in_order_and_a_batch_counts_as_many(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver
) -> None:
    batch = torch.cat([grey(0.2), grey(0.4)])
    result = run(host, edit("join", ["a", 0], ["b", 0]), a=hand_over(batch), b=hand_over(grey(0.8)))
    assert len(images(result)) == 1
    assert [image.convert("L").getpixel((5, 5)) for image in sent_images(gateway)] == [51, 102, 204]


@pytest.mark.parametrize(
    ("height", "width", "ratio"), [(100, 100, "1:1"), (90, 160, "16:9"), (400, 100, "9:16"), (64, 150, "21:9")]
)
def test_auto_takes_the_listed_ratio_nearest_to_the_first_image(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver, height: int, width: int, ratio: str
) -> None:
    result = run(host, edit("x", ["a", 0]), a=hand_over(grey(0.5, height, width)))
    body: Any = gateway.ledger.posts[0].body
    assert body["--aspect_ratio"] == ratio
    assert json.loads(result.outputs["1"][3][0])["ratio"] == ratio


def nan() -> torch.Tensor:
    image = grey(0.5)
    image[0, 3, 4, 1] = float("nan")
    return image


@pytest.mark.parametrize(
    ("tensor", "model", "words"),
    [
        (grey(0.5, batch=15), "NanoBananaPro-1K", "at most 14"),
        (grey(0.5, batch=5), "NanoBanana", "at most 3"),
        (nan(), "NanoBananaPro-1K", "NaN"),
        (torch.zeros(1, 0, 5, 3), "NanoBananaPro-1K", "empty"),
        (torch.zeros(1, 5, 5, 2), "NanoBananaPro-1K", "2 channels"),
    ],
    ids=["15 images", "5 for a 3-picture model", "NaN", "zero-sized", "2 channels"],
)
def test_images_that_cannot_be_sent_are_an_error_before_anything_is_sent(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver, tensor: torch.Tensor, model: str, words: str
) -> None:
    result = run(host, edit("x", ["a", 0], model=model), a=hand_over(tensor))
    assert result.failure is not None
    assert words in str(result.failure.exception)
    assert gateway.ledger.posts == []


def mask_node(width: int, height: int, value: float = 1.0) -> dict[str, Any]:
    return {"class_type": "SolidMask", "inputs": {"value": value, "width": width, "height": height}}


def part_mask(x: int, y: int) -> dict[str, Any]:
    inputs = {"destination": ["black", 0], "source": ["white", 0], "x": x, "y": y, "operation": "add"}
    return {"class_type": "MaskComposite", "inputs": inputs}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_pixel_outside_the_mask_keeps_its_bits(host: StandIn, hand_over: HandOver, dtype: torch.dtype) -> None:
    torch.manual_seed(7)
    original = torch.rand(1, 500, 700, 3).to(dtype)
    result = run(
        host,
        edit("paint", ["a", 0], mask=["m", 0]),
        a=hand_over(original),
        black=mask_node(700, 500, 0.0),
        white=mask_node(200, 150),
        m=part_mask(300, 200),
    )
    [image] = images(result)
    assert image.shape == original.shape
    inside = torch.zeros(500, 700, dtype=torch.bool)
    inside[200:350, 300:500] = True
    assert torch.equal(image[0][~inside], original[0].float()[~inside])
    changed = (image[0] - original[0].float()).abs().amax(dim=2)[inside] > 0.02
    assert changed.float().mean() > 0.5


def test_a_mask_goes_out_as_a_further_image_of_the_sent_ratio(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver
) -> None:
    run(host, edit("paint", ["a", 0], mask=["m", 0]), a=hand_over(grey(0.5, 300, 700)), m=mask_node(350, 150))
    image, mask = sent_images(gateway)
    assert image.size == mask.size
    assert image.width / image.height == pytest.approx(21 / 9, rel=0.01)
    assert "mask" in gateway.ledger.posts[0].prompt


def test_a_composite_is_shown_and_kept_also_when_the_graph_was_quicker(
    host: StandIn, hand_over: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph goes on, and lets go of the images, when a call has its outcome: the call shows them after that."""
    call_type = loaded("nanobanana.calls.engine").Call
    finish = call_type.finish
    graph_ended = threading.Event()

    def finish_late(call: Any, outcome: Any, sizes: Any = None) -> None:
        on_done = call._on_done
        call._on_done = lambda outcome: (graph_ended.wait(20), on_done(outcome))
        finish(call, outcome, sizes)

    monkeypatch.setattr(call_type, "finish", finish_late)
    given = {"a": hand_over(grey(0.5, 300, 700)), "m": mask_node(350, 150)}
    run(host, edit("paint it", ["a", 0], mask=["m", 0]), **given)
    graph_ended.set()

    def shown() -> list[tuple[int, int]]:
        events = [event.data["data"] for event in host.events if event.kind == "nanobanana.picture"]
        return [(one["width"], one["height"]) for one in events]

    assert wait_until(lambda: len(shown()) == 1)
    assert shown() == [(700, 300)]


def test_the_composite_is_shown_counted_and_kept_beside_the_answer(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver
) -> None:
    def told(kind: str) -> list[dict[str, Any]]:
        return [event.data["data"] for event in host.events if event.kind == kind]

    given = {"a": hand_over(grey(0.5, 300, 700)), "m": mask_node(350, 150)}
    node = edit("paint it", ["a", 0], mask=["m", 0], count=2)
    result = run(host, node, **given)
    made = images(result)
    assert wait_until(lambda: len(told("nanobanana.picture")) == 2)
    assert [(one["width"], one["height"]) for one in told("nanobanana.picture")] == [(700, 300)] * 2
    assert told("nanobanana.status")[-1]["sizes"] == ["700 x 300"]

    history = loaded("nodes.web_api.history")
    calls = history.page(SimpleNamespace(query={}))["calls"]
    for call, variation in zip(calls, (1, 0), strict=True):
        [image] = call["pictures"]
        assert call["prompt"] == "paint it"
        assert (image["width"], image["height"]) != (700, 300)
        assert (image["composite"]["width"], image["composite"]["height"]) == (700, 300)
        recall = {"class_type": "NanoBananaGatewayRecall", "inputs": {"picture": image["composite"]["id"]}}
        recalled = host.run({"1": recall, "out": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})
        levels = (recalled.outputs["1"][0][0][0] * 255).round()
        assert torch.equal(levels, (made[variation][0] * 255).round())
        assert json.loads(recalled.outputs["1"][2][0])["prompt"] == "paint it"
    # Free again, and nothing is saved a second time.
    sent, files = len(gateway.ledger.posts), len(list(history.journal().folder.glob("pictures/*")))
    run(host, edit("paint it", ["a", 0], mask=["m", 0], count=1), **given)
    assert wait_until(lambda: len(told("nanobanana.picture")) == 3)
    assert (len(gateway.ledger.posts), len(list(history.journal().folder.glob("pictures/*")))) == (sent, files)
    # A Recall of the composite still finds it.
    again = history.page(SimpleNamespace(query={}))["calls"]
    assert [call["pictures"] for call in again] == [call["pictures"] for call in calls]


def test_an_all_zero_mask_counts_as_none(host: StandIn, gateway: FaultyGateway, hand_over: HandOver) -> None:
    result = run(host, edit("x", ["a", 0], mask=["m", 0]), a=hand_over(grey(0.5)), m=mask_node(64, 64, 0.0))
    assert len(sent_images(gateway)) == 1
    assert images(result)[0].shape[1:3] != (48, 64)


def test_a_image_used_by_several_calls_is_sent_alike_and_paid_once_each(
    host: StandIn, gateway: FaultyGateway, hand_over: HandOver
) -> None:
    result = run(host, edit("x", ["a", 0], count=3), a=hand_over(torch.rand(1, 200, 200, 4)))
    assert len(images(result)) == 3
    sent = [np.asarray(sent_images(gateway, number)[0]) for number in range(3)]
    assert all(np.array_equal(sent[0], other) for other in sent)


def test_other_pixels_are_another_request(host: StandIn, gateway: FaultyGateway, hand_over: HandOver) -> None:
    image = grey(0.5)
    run(host, edit("x", ["a", 0]), a=hand_over(image))
    other = image.clone()
    other[0, 0, 0, 0] += 2 / 255
    run(host, edit("x", ["a", 0]), a=hand_over(other))
    run(host, edit("x", ["a", 0]), a=hand_over(image.clone()))
    assert len(gateway.ledger.posts) == 2
