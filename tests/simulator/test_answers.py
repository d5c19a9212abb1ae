from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_faults import FaultyGateway, family
from gateway_faults.answers import SHAPES, chunks, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.simulator.answers import Identity, ServedImage
from simulator.talk import Message, ask, gathered, get, opened, order

pytestmark = pytest.mark.slow

Finder = Callable[[Message], list[str]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


def media(message: Message) -> list[str]:
    return message.top["media"]["outputs"]


def in_content(pattern: str) -> Finder:
    return lambda message: re.findall(pattern, message.content)


def image_parts(message: Message) -> list[str]:
    return [part["image_url"]["url"] for part in message.keys["images"]]


def content_parts(read: Callable[[dict[str, Any]], str]) -> Finder:
    return lambda message: [read(part) for part in message.content if part.get("type") != "text"]


HTTP = r"http://[^\s)\"]+"
DATA = r"data:image/\w+;base64,[A-Za-z0-9+/=]+"
# Where each shape's images are, written from the table of shapes and not from the code under test.
FINDERS: dict[str, Finder] = {
    "shape_documented": media,
    "shape_finish_later": media,
    "shape_media_later": media,
    "shape_media_only": media,
    "shape_media_null_content": media,
    "shape_bare_url": lambda message: message.content.split("\n"),
    "shape_url_in_text": in_content(HTTP),
    "shape_markdown": in_content(rf"!\[[^\]]*\]\(({HTTP})\)"),
    "shape_markdown_title": in_content(rf"!\[[^\]]*\]\(({HTTP}) \"[^\"]*\"\)"),
    "shape_markdown_link": in_content(rf"[^!]\[[^\]]*\]\(({HTTP})\)"),
    "shape_markdown_data": in_content(rf"!\[image\]\(({DATA})\)"),
    "shape_html_image": in_content(rf'<img src="({HTTP})"'),
    "shape_html_data": in_content(rf'<img [^>]*src="({DATA})"'),
    "shape_bare_data_url": lambda message: message.content.split("\n"),
    "shape_images_url": image_parts,
    "shape_images_data": image_parts,
    "shape_image_url": lambda message: [message.keys["image"]["url"]],
    "shape_image_data": lambda message: [message.keys["image"]["url"]],
    "shape_parts_url": content_parts(lambda part: part["image_url"]["url"]),
    "shape_parts_data": content_parts(lambda part: part["image_url"]["url"]),
    "shape_parts_raw_base64": content_parts(lambda part: part["image_url"]["url"]),
    "shape_parts_image": content_parts(lambda part: part["image"]["base64"]),
    "shape_parts_inline": content_parts(lambda part: part["inline_data"]["data"]),
    "shape_data_b64_json": lambda message: [item["b64_json"] for item in message.top["data"]],
    "shape_data_url": lambda message: [item["url"] for item in message.top["data"]],
    "shape_duplicates": lambda message: media(message)[: len(media(message)) // 2],
    "shape_other_links": media,
    "shape_reasoning_drafts": media,
}


def image_bytes(found: str) -> bytes:
    if found.startswith("http"):
        return get(found).body
    return base64.b64decode(found.rpartition(",")[2], validate=True)


def test_the_default_answer_is_the_documented_chunk(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order())
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, done, nothing = answer.body.split(b"\n\n")
    assert (done, nothing) == (b"data: [DONE]", b"")
    assert first.startswith(b"data: {")
    (chunk,) = answer.events
    (url,) = chunk["media"]["outputs"]
    assert re.fullmatch(re.escape(simulator.base_url) + r"/output/[0-9a-f-]{36}\.jpeg", url)
    assert re.fullmatch(r"chatcmpl_[0-9a-f]{32}", chunk["id"])
    assert chunk == {
        "id": chunk["id"],
        "object": "chat.completion.chunk",
        "created": chunk["created"],
        "model": "NanoBananaPro-8K",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": url}, "finish_reason": "stop"}],
        "media": {"outputs": [url]},
    }


def test_without_stream_the_answer_is_one_completion(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order(stream=False))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["object"] == "chat.completion"
    message = gathered([answer.json], "message")
    assert message.content == answer.json["media"]["outputs"][0]
    assert message.finish_reason == "stop"


def test_every_shape_has_a_finder() -> None:
    assert set(FINDERS) == set(family("shape")) == set(SHAPES)


@pytest.mark.parametrize(("stream", "count"), [(True, 1), (True, 2), (False, 2)])
@pytest.mark.parametrize("shape", FINDERS)
def test_the_images_are_where_the_shape_says(simulator: FaultyGateway, shape: str, stream: bool, count: int) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{shape}][pictures:{count}]", stream=stream))
    message = gathered(answer.events) if stream else gathered([answer.json], "message")
    found = FINDERS[shape](message)
    assert len(found) == (1 if shape.startswith("shape_image_") else count)
    images = [image_bytes(text) for text in found]
    assert all(opened(data).size == (688, 384) for data in images)
    assert len({hashlib.sha256(data).digest() for data in images}) == len(found)


def test_what_comes_later_comes_later(simulator: FaultyGateway) -> None:
    url, media_chunk = ask(simulator.base_url, order("x [fault:shape_media_later]")).events
    assert ("media" in url, "media" in media_chunk) == (False, True)
    assert [chunk["choices"][0]["finish_reason"] for chunk in (url, media_chunk)] == [None, "stop"]
    url, finish = ask(simulator.base_url, order("x [fault:shape_finish_later]")).events
    assert ("media" in url, "media" in finish) == (True, False)
    assert [chunk["choices"][0]["finish_reason"] for chunk in (url, finish)] == [None, "stop"]


def test_decoys_are_watched(simulator: FaultyGateway) -> None:
    links = gathered(ask(simulator.base_url, order("x [fault:shape_other_links]")).events)
    (logo,) = re.findall(r"!\[logo\]\(([^)]+)\)", links.content)
    drafts = gathered(ask(simulator.base_url, order("x [fault:shape_reasoning_drafts]")).events)
    (draft,) = re.findall(r"!\[draft\]\(([^)]+)\)", drafts.reasoning)
    assert not simulator.ledger.violations
    assert opened(get(logo).body).size == (8, 8)
    assert get(draft).status == 200
    assert len(simulator.ledger.violations) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 64, 65, 1000])
@pytest.mark.parametrize("shape", ["shape_documented", "shape_markdown", "shape_finish_later", "shape_media_later"])
def test_split_text_comes_together_again(simulator: FaultyGateway, shape: str, size: int) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{shape}][fault:split:{size}]"))
    message = gathered(answer.events)
    assert opened(get(FINDERS[shape](message)[0]).body)
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in answer.events]
    texts = [piece for piece in pieces if piece is not None]
    assert [len(text) for text in texts[:-1]] == [size] * (len(texts) - 1)
    assert len(texts) == -(-len(message.content) // size)
    assert message.finish_reason == "stop"
    assert [chunk["choices"][0]["finish_reason"] for chunk in answer.events][:-1] == [None] * (len(answer.events) - 1)


IDENTITY = Identity("chatcmpl_1", 1773835762, "NanoBananaPro-8K")


@settings(max_examples=60, deadline=None)
@given(shape=st.sampled_from(sorted(SHAPES)), split=st.integers(0, 400), count=st.integers(1, 4), data=st.binary())
def test_stream_and_plain_say_the_same(shape: str, split: int, count: int, data: bytes) -> None:
    images = [ServedImage(f"http://h/output/{n}.png", data + bytes([n]), "image/png") for n in range(count)]
    shaped = SHAPES[shape][0](images)
    streamed = gathered([chunk.payload for chunk in chunks(shaped, IDENTITY, split)])
    plain = gathered([whole(shaped, IDENTITY)], "message")
    streamed.content = streamed.content or None
    plain.content = plain.content or None
    assert streamed == plain


def test_progress_fills_the_wait_with_words() -> None:
    with FaultyGateway(latency=0.4, progress=True) as simulator:
        answer = ask(simulator.base_url, order())
    message = gathered(answer.events)
    assert "\u6392\u961f\u4e2d" in message.reasoning
    assert "\u8fdb\u5ea6 45%" in message.reasoning
    assert answer.body.count(b": PING") == 5
    assert message.content == message.top["media"]["outputs"][0]


REFUSALS = {
    "refusal": ("stop", True),
    "content_filter": ("content_filter", True),
    "content_filter_upper": ("CONTENT_FILTER", False),
    "image_safety": ("IMAGE_SAFETY", False),
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_words_or_a_reason_and_is_billed(simulator: FaultyGateway, name: str, stream: bool) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]", stream=stream))
    message = gathered(answer.events) if stream else gathered([answer.json], "message")
    reason, words = REFUSALS[name]
    assert message.finish_reason == reason
    assert bool(message.content) is words
    assert b"http" not in answer.body
    assert simulator.ledger.posts[-1].billed


@pytest.mark.parametrize(
    ("name", "body"),
    [("empty_stream", b""), ("only_done", b"data: [DONE]\n\n"), ("only_comments", b": PING\n\n" * 3)],
)
def test_streams_with_nothing_in_them(simulator: FaultyGateway, name: str, body: bytes) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]"))
    assert (answer.status, answer.body) == (200, body)


def test_a_stream_without_choices(simulator: FaultyGateway) -> None:
    assert [chunk["choices"] for chunk in ask(simulator.base_url, order("x [fault:no_choices]")).events] == [[], []]
