"""Connection, Prompt List and Recall in a graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gateway_faults import FaultyGateway
from graphs import generate, images, run
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.image_request import split_prompts
from pack.nanobanana.settings.profile import Profile
from pack.nanobanana.settings.store import ProfileStore
from stand_in import InvalidPrompt, StandIn

pytestmark = pytest.mark.slow


def connection(name: str) -> dict:
    return {"class_type": "NanoBananaGatewayConnection", "inputs": {"profile": name}}


def test_a_connection_names_the_profile_whose_gateway_is_asked(
    open_host: Callable[[], StandIn], gateway: FaultyGateway, clean_environment: Path
) -> None:
    with FaultyGateway(latency=0.01, api_key="sk-other-gateway-key-1234567890") as other:
        store = ProfileStore(clean_environment, {})
        store.save(Profile(name="studio", base_url=other.base_url, api_key="sk-other-gateway-key-1234567890"))
        with open_host() as host:
            result = run(host, generate("x", connection=["c", 0]), c=connection("studio"))
            assert result.outputs["c"] == [["studio"]]
            assert len(images(result)) == 1
        assert len(other.ledger.posts) == 1
    assert gateway.ledger.posts == []


def test_a_profile_that_does_not_exist_is_refused_by_the_host(host: StandIn) -> None:
    with pytest.raises(InvalidPrompt, match="studio"):
        run(host, generate("x", connection=["c", 0]), c=connection("studio"))


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("  one  \n\n# not this\ntwo", ["one", "two"]),
        ("first\nstill first\n---\nsecond\n---\n\n", ["first\nstill first", "second"]),
        ("---\na\n-----  \n# b\nc", ["a", "c"]),
        ("a - b\n--\nc", ["a - b", "--", "c"]),
    ],
)
def test_prompt_list_splits_lines_or_blocks(host: StandIn, text: str, prompts: list[str]) -> None:
    node = {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": text}}
    assert run(host, node).outputs["1"] == [prompts]


def test_an_empty_prompt_list_is_an_error(host: StandIn) -> None:
    result = run(host, {"class_type": "NanoBananaGatewayPrompts", "inputs": {"text": "# nothing\n"}})
    assert result.failure is not None
    assert "no prompt" in str(result.failure.exception)


@given(st.text())
def test_no_prompt_is_blank_or_a_comment(text: str) -> None:
    for prompt in split_prompts(text):
        assert prompt == prompt.strip() != ""
        assert not any(line.lstrip().startswith("#") for line in prompt.splitlines())


def test_recall_gives_the_image_and_its_story_offline(host: StandIn, gateway: FaultyGateway) -> None:
    made = run(host, generate("a lighthouse"))
    image_id = json.loads(made.outputs["1"][3][0])["pictures"][0]["id"]
    gateway.stop()
    recall = {"class_type": "NanoBananaGatewayRecall", "inputs": {"picture": image_id}}
    result = run(host, recall)
    assert torch.equal(images(result)[0], images(made)[0])
    info = json.loads(result.outputs["1"][2][0])
    assert (info["prompt"], info["model"], info["source"]) == ("a lighthouse", "NanoBananaPro-1K", "journal")


@pytest.mark.parametrize(("image", "words"), [("", "No image is named"), ("nonsense", "isn't in the history")])
def test_recall_says_when_there_is_no_such_image(host: StandIn, image: str, words: str) -> None:
    result = run(host, {"class_type": "NanoBananaGatewayRecall", "inputs": {"picture": image}})
    assert result.failure is not None
    assert words in str(result.failure.exception)
