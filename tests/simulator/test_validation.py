from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_faults import FaultyGateway
from pack.nanobanana import catalog
from pack.nanobanana.simulator import catalog as simulated
from pack.nanobanana.simulator import validation
from PIL import Image
from simulator.talk import IMAGE_EXAMPLE, TEXT_EXAMPLE, ask, data_url, edit, order

pytestmark = pytest.mark.slow

IMAGE = data_url(Image.new("RGB", (6, 4), "red"))


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


@pytest.mark.parametrize("example", [TEXT_EXAMPLE, IMAGE_EXAMPLE], ids=["text", "image"])
def test_the_pages_own_examples_are_accepted_verbatim(simulator: FaultyGateway, example: dict[str, Any]) -> None:
    answer = ask(simulator.base_url, example)
    assert answer.status == 200, answer.body
    assert answer.events[-1]["media"]["outputs"]


def test_the_pages_table_is_accepted(simulator: FaultyGateway) -> None:
    body = order(extra_body=None, aspect_ratio="21:9", output_format="webp")
    assert ask(simulator.base_url, body).status == 200


def image_config(**config: Any) -> dict[str, Any]:
    return {"google": {"image_config": config}}


def message(**keys: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "a cat", **keys}]


def part(**keys: Any) -> list[dict[str, Any]]:
    return message(content=[{"type": "text", "text": "a cat"}, keys])


BAD = {
    "unknown model": order(model="NanoBananaPro-8K"),
    "no model": order(model=None),
    "model not a string": order(model=5),
    "no messages": order(messages=None),
    "no message": order(messages=[]),
    "messages not a list": order(messages={"role": "user"}),
    "unknown ratio": order(extra_body=image_config(aspect_ratio="5:6")),
    "unknown ratio as a key": order(aspect_ratio="1:2", extra_body=None),
    "ratio not a string": order(extra_body=image_config(aspect_ratio=1.0)),
    "ratios disagree": order(aspect_ratio="1:1"),
    "unknown format": order(output_format="gif"),
    "format in capitals": order(output_format="PNG"),
    "aspectRatio": order(extra_body=image_config(aspectRatio="1:1")),
    "aspectRatio beside": order(extra_body=image_config(aspect_ratio="1:1", aspectRatio="1:1")),
    "image_size in extra_body": order(extra_body=image_config(aspect_ratio="1:1", image_size="1K")),
    "imageConfig": order(extra_body={"google": {"imageConfig": {"aspect_ratio": "1:1"}}}),
    "extra_body without google": order(extra_body={}),
    "extra_body with more": order(extra_body={**image_config(aspect_ratio="1:1"), "x": 1}),
    "n": order(n=2),
    "seed": order(seed=7),
    "aspect_ratio without dashes": {**order(), "aspect_ratio": "16:9"},
    "stream as text": order(stream="true"),
    "stream as a number": order(stream=1),
    "unknown role": order(messages=message(role="tool")),
    "no user": order(messages=message(role="system")),
    "message with a name": order(messages=message(name="me")),
    "content null": order(messages=message(content=None)),
    "content empty": order(messages=message(content=[])),
    "blank prompt": order(" \n\t "),
    "part without a type": order(messages=part(text="x")),
    "part of an unknown type": order(messages=part(type="input_image", image_url=IMAGE)),
    "image_url as text": order(messages=part(type="image_url", image_url=IMAGE)),
    "image_url with detail": order(messages=part(type="image_url", image_url={"url": IMAGE, "detail": "high"})),
    "text part with more": order(messages=part(type="text", text="x", cache_control={})),
    "image/jpg": edit("x", data_url(Image.new("RGB", (4, 4)), "JPEG", "image/jpg")),
    "mime of another format": edit("x", data_url(Image.new("RGB", (4, 4)), "JPEG", "image/png")),
    "gif": edit("x", data_url(Image.new("RGB", (4, 4)), "GIF")),
    "not an image": edit("x", "data:image/png;base64,aGVsbG8="),
    "half an image": edit("x", IMAGE[: len(IMAGE) // 2 // 4 * 4]),
    "not base64": edit("x", "data:image/png;base64,@@@@"),
    "base64 with line ends": edit("x", IMAGE.replace("=", "=\n", 1) if "=" in IMAGE else IMAGE + "\n"),
    "data URL without base64": edit("x", "data:image/png,abc"),
    "file URL": edit("x", "file:///etc/passwd"),
    "raw base64": edit("x", IMAGE.partition(",")[2]),
    "four images for NanoBanana": edit("x", *[IMAGE] * 4, model="NanoBanana"),
    "fifteen images": edit("x", *[IMAGE] * 15),
    "Markdown image in the prompt": order(f"look ![x]({IMAGE}) here"),
    "not JSON": b"{not json",
    "a list": b"[]",
    "no body": b"",
}


def test_what_clients_of_any_such_api_send_is_taken(simulator: FaultyGateway) -> None:
    usual = {"n": 1, "temperature": 0.7, "user": "me", "stream_options": {"include_usage": True}, "max_tokens": 4096}
    answer = ask(simulator.base_url, {**order(extra_body=None), **usual})
    assert answer.status == 200
    # They know nothing of ratios.
    assert simulator.ledger.posts[-1].billed


@pytest.mark.parametrize("dialect", list(catalog.DIALECTS))
def test_each_dialect_wants_its_ratio(dialect: str) -> None:
    with FaultyGateway(latency=0, dialect=dialect) as served:
        assert ask(served.base_url, order(extra_body=None)).status == 400


def test_simulator_and_catalog_know_the_same_models() -> None:
    """The simulator's table is a copy made independently: where they differ, one of them is wrong."""
    assert {name: model.max_images for name, model in simulated.MODELS.items()} == {
        model.name: model.input_limit for model in catalog.MODELS
    }
    assert simulated.RATIOS == catalog.ASPECT_RATIOS
    assert set(simulated.FORMATS) == set(catalog.OUTPUT_FORMATS)
    for name in simulated.MODELS:
        for ratio in simulated.RATIOS:
            assert simulated.pixels(name, ratio) == catalog.expected_size(name, ratio), (name, ratio)
    assert {"any", *catalog.DIALECTS} == set(validation.DIALECTS)


@pytest.mark.parametrize("name", BAD)
def test_what_the_page_does_not_document_is_refused(simulator: FaultyGateway, name: str) -> None:
    answer = ask(simulator.base_url, BAD[name])
    assert answer.status == 400
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["type"] == "invalid_request_error"
    assert re.search(r"\(request id: \d{23}[0-9a-f]{8}\)$", answer.error["message"])
    post = simulator.ledger.posts[-1]
    assert not post.billed
    assert post.rejected
    assert post.request_id in answer.error["message"]


def test_as_many_images_as_the_models_take(simulator: FaultyGateway) -> None:
    assert ask(simulator.base_url, edit("x", *[IMAGE] * 3, model="NanoBanana")).status == 200
    assert ask(simulator.base_url, edit("x", *[IMAGE] * 14)).status == 200
    assert simulator.ledger.posts[-1].input_images == 14


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_each_input_format_is_decoded(simulator: FaultyGateway, name: str) -> None:
    assert ask(simulator.base_url, edit("x", data_url(Image.new("RGB", (9, 5)), name))).status == 200


def test_a_result_of_its_own_is_taken_as_input(simulator: FaultyGateway) -> None:
    url = ask(simulator.base_url, order("first")).events[0]["media"]["outputs"][0]
    assert ask(simulator.base_url, edit("second", url)).status == 200
    assert ask(simulator.base_url, edit("second", url.replace("output/", "output/0"))).status == 400


def dialect_body(dialect: str) -> dict[str, Any]:
    body = order()
    if dialect == "documented":
        body |= {"--aspect_ratio": "16:9", "--output_format": "png"}
    elif dialect == "prompt_flags":
        body["messages"] = message(content="a cat --aspect_ratio 16:9 --output_format png")
    elif dialect == "openrouter":
        del body["extra_body"]
        body |= {"image_config": {"aspect_ratio": "16:9", "image_size": "0.5K"}, "modalities": ["image", "text"]}
    return body


DIALECTS = ("documented", "extra_body", "prompt_flags", "openrouter")


@pytest.mark.parametrize("served", [*DIALECTS, "any"])
@pytest.mark.parametrize("sent", DIALECTS)
def test_a_dialect_takes_its_own_and_any_takes_each(served: str, sent: str) -> None:
    # Flags in a prompt are plain text to a gateway that reads extra_body alone.
    accepted = served in (sent, "any") or (served, sent) == ("extra_body", "prompt_flags")
    with FaultyGateway(latency=0.0, dialect=served) as simulator:
        answer = ask(simulator.base_url, dialect_body(sent))
        assert answer.status == (200 if accepted else 400), answer.body
        if sent == "prompt_flags" and served in ("any", "prompt_flags"):
            assert simulator.ledger.posts[0].prompt == "a cat"


@pytest.mark.parametrize("missing", ["--aspect_ratio", "--output_format"])
def test_documented_needs_both_keys_of_the_table(missing: str) -> None:
    body = dialect_body("documented")
    del body[missing]
    with FaultyGateway(latency=0.0, dialect="documented") as simulator:
        answer = ask(simulator.base_url, body)
        assert answer.status == 400
        assert answer.error["param"] == missing


def test_openrouter_checks_the_size_against_the_model() -> None:
    body = dialect_body("openrouter")
    wrong = copy.deepcopy(body)
    wrong["image_config"]["image_size"] = "4K"
    with FaultyGateway(latency=0.0, dialect="openrouter") as simulator:
        assert ask(simulator.base_url, body).status == 200
        assert ask(simulator.base_url, wrong).status == 400
        assert ask(simulator.base_url, {**body, "modalities": ["text"]}).status == 400


def test_an_unknown_dialect_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="dialect"):
        FaultyGateway(dialect="latin")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer sk-wrong"}, 401),
        ({"Authorization": "sk-right"}, 401),
        ({"Authorization": "Bearer sk-right"}, 200),
    ],
)
def test_only_the_set_key_is_accepted(headers: dict[str, str], status: int) -> None:
    with FaultyGateway(latency=0.0, api_key="sk-right") as simulator:
        answer = ask(simulator.base_url, order(), headers)
        assert answer.status == status
        if status == 401:
            assert answer.error["code"] == "invalid_api_key"
            assert "sk-" not in answer.error["message"]
        assert len(simulator.ledger.billed) == (status == 200)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer whatever"}])
def test_without_a_key_set_every_key_and_none_will_do(simulator: FaultyGateway, headers: dict[str, str]) -> None:
    assert ask(simulator.base_url, order(), headers).status == 200


def test_a_key_is_looked_at_before_the_request() -> None:
    with FaultyGateway(api_key="sk-right") as simulator:
        assert ask(simulator.base_url, b"{}").status == 401


def test_too_large_a_body_is_refused() -> None:
    with FaultyGateway(latency=0.0, max_body=1000) as simulator:
        assert ask(simulator.base_url, order("x" * 900)).status == 413
        assert ask(simulator.base_url, order("x" * 100)).status == 200
        assert len(simulator.ledger.billed) == 1


def test_a_request_without_a_length_is_refused(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, b"", {"Content-Length": "many"})
    assert answer.status == 411
