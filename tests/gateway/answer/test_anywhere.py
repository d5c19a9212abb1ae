"""The image is found wherever a relay put it, once, and what is no result isn't."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.nanobanana.errors import GatewayError
from pack.nanobanana.gateway.answer.reader import AnswerReader
from pack.nanobanana.gateway.answer.types import AnswerImage, ImageData, ImageUrl
from PIL import Image

HOST = "https://relay.example"
URL = "https://cdn.example/made/1"


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


FINAL, DRAFT = png(200), png(50)
B64, DRAFT_B64 = (base64.b64encode(data).decode("ascii") for data in (FINAL, DRAFT))
DATA_URL, DRAFT_URL = f"data:image/png;base64,{B64}", f"data:image/png;base64,{DRAFT_B64}"
LINES = "\n".join(B64[at : at + 76] for at in range(0, len(B64), 76))


def images(body: bytes, prompt: str = "") -> list[AnswerImage]:
    reader = AnswerReader(base_url=HOST, prompt=prompt)
    reader.feed(body)
    return list(reader.finish().images)


def whole(value: object) -> bytes:
    return json.dumps(value).encode()


def events(*values: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"


def message(**parts: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **parts}, "finish_reason": "stop"}]}


def delta(**parts: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": parts}]}


INLINE: dict[str, bytes] = {
    "the image itself": FINAL,
    "the image itself, behind a line break": b"\r\n" + FINAL,
    "content blocks": whole(message(content_blocks=[{"type": "image_url", "image_url": {"url": DATA_URL}}])),
    "streamed content blocks": events(delta(content_blocks=[{"index": 0, "delta": {"image_url": {"url": DATA_URL}}}])),
    "multi_mod_content": whole(message(multi_mod_content=[{"inline_data": {"mime_type": "image/png", "data": B64}}])),
    "multi_mod_content, in camel case": events(
        delta(multi_mod_content=[{"inlineData": {"mimeType": "image/png", "data": B64}}])
    ),
    "Gemini's own": whole(
        {
            "candidates": [
                {"content": {"parts": [{"text": "ok"}, {"inlineData": {"mimeType": "image/png", "data": B64}}]}}
            ]
        }
    ),
    "Gemini's own, with a draft among the thoughts": whole(
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"thought": True, "inlineData": {"mimeType": "image/png", "data": DRAFT_B64}},
                            {"inlineData": {"mimeType": "image/png", "data": B64}},
                        ]
                    }
                }
            ]
        }
    ),
    "Responses": whole({"output": [{"type": "image_generation_call", "status": "completed", "result": B64}]}),
    "Responses, streamed with drafts": events(
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": DRAFT_B64},
        {"type": "response.completed", "response": {"output": [{"type": "image_generation_call", "result": B64}]}},
    ),
    "Images API": whole({"created": 1, "data": [{"b64_json": B64}]}),
    "Images API, streamed with drafts": events(
        {"type": "image_generation.partial_image", "b64_json": DRAFT_B64},
        {"type": "image_generation.completed", "b64_json": B64},
    ),
    "raw base64 as the text": whole(message(content=B64)),
    "base64:// as the text": whole(message(content=f"base64://{B64}")),
    "base64 in lines": whole(message(content=f"data:image/png;base64,{LINES}")),
    "the prefix twice": whole(message(content=f"data:image/png;base64,{DATA_URL}")),
    "JSON as the text": whole(message(content=json.dumps({"b64_json": B64}))),
    "JSON as the text, with slashes escaped": whole(
        message(content=json.dumps({"data": [{"b64_json": B64}]}).replace("/", "\\/"))
    ),
    "output": whole({"output": DATA_URL}),
    "result": whole({"id": "1", "result": {"data": {"images": [B64]}}}),
    "Ollama's message": whole({"message": {"content": f"![a]({DATA_URL})"}, "done": True}),
    "attachments": whole(message(attachments=[{"content": DATA_URL}])),
    "files": whole(message(content="", files=[{"name": "a.png", "bytes": B64}])),
    "parts": whole(message(parts=[{"picture": {"payload": B64}}])),
    "a preview, replaced by the image of the same index": events(
        delta(images=[{"index": 0, "image_url": {"url": DRAFT_URL}}]),
        delta(images=[{"index": 0, "image_url": {"url": DATA_URL}}]),
    ),
    "equal bytes in two places": whole(
        message(content=f"![image]({DATA_URL})", images=[{"image_url": {"url": DATA_URL}}])
    ),
}


@pytest.mark.parametrize("kind", INLINE)
def test_an_inline_image_is_found_once(kind: str) -> None:
    assert images(INLINE[kind]) == [ImageData(FINAL)]


ADDRESSES: dict[str, tuple[bytes, str]] = {
    "an absolute path in media": (whole({"media": {"outputs": ["/images/x.png"]}}), f"{HOST}/images/x.png"),
    "a relative path in a Markdown image": (whole(message(content="![a](images/x.png)")), f"{HOST}/images/x.png"),
    "no scheme": (whole(message(image="//cdn.example/x.png")), "https://cdn.example/x.png"),
    "an img with a relative address": (whole(message(content='<img src="/i/x.png">')), f"{HOST}/i/x.png"),
    "spaces and accents": (
        whole(message(content="![a](<https://cdn.example/my im\u00e4ge.png>)")),
        "https://cdn.example/my%20im%C3%A4ge.png",
    ),
    "escaped JSON in the text": (
        whole(message(content='{"url":"https:\\/\\/cdn.example\\/x?a=1\\u0026b=2"}')),
        "https://cdn.example/x?a=1&b=2",
    ),
    "a lone url": (whole({"status": "succeeded", "url": URL}), URL),
    "output, a list": (whole({"output": [URL]}), URL),
    "a link for the download behind the image": (
        whole(message(content=f"![a]({URL}.png)\n[Download]({HOST}/made/1.png)")),
        f"{URL}.png",
    ),
}


@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address_is_found_once(kind: str) -> None:
    body, url = ADDRESSES[kind]
    assert images(body) == [ImageUrl(url)]


NOTHING: dict[str, bytes] = {
    "thought": whole({"candidates": [{"content": {"parts": [{"thought": True, "inlineData": {"data": DRAFT_B64}}]}}]}),
    "reasoning": whole(message(content="Sorry.", reasoning_content=f"![draft]({DRAFT_URL})")),
    "think": whole(message(content=f"<think>![draft]({DRAFT_URL})</think>Sorry.")),
    "partial": whole({"type": "image_generation.partial_image", "b64_json": DRAFT_B64}),
    "the request, repeated": whole({"input": {"image": DRAFT_URL}, "output": None}),
    "the person's own address": whole(message(content="I can't edit https://mine.example/me.png.")),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_what_is_no_result_is_not_taken_for_one(kind: str) -> None:
    reader = AnswerReader(base_url=HOST, prompt="Edit https://mine.example/me.png please")
    reader.feed(NOTHING[kind])
    try:
        answer = reader.finish()
    except GatewayError:
        return
    assert answer.guessed or not answer.images
    assert "https://mine.example/me.png" not in [one.url for one in answer.images if isinstance(one, ImageUrl)]


def test_the_persons_own_reference_never_comes_first() -> None:
    own = "https://mine.example/me.png"
    body = whole(message(content=f"From {own} I made this: {URL}.png"))
    assert images(body, prompt=f"Make {own} blue") == [ImageUrl(f"{URL}.png")]


KEYS = st.sampled_from(["out", "body", "item", "value", "art", "answer", "holder", "list", "node", "contents", "x"])


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    beside = st.dictionaries(KEYS, st.text("abc ", max_size=5) | st.integers() | st.none(), max_size=2)
    in_object = st.tuples(beside, KEYS, inner).map(lambda parts: {**parts[0], parts[1]: parts[2]})
    in_list = st.tuples(st.lists(st.integers(), max_size=2), inner).map(lambda parts: [*parts[0], parts[1]])
    return in_object | in_list


@settings(max_examples=200)
@given(
    place=st.recursive(st.sampled_from([DATA_URL, B64, f"{DATA_URL}\n"]), nested, max_leaves=6),
    streamed=st.booleans(),
    at=st.integers(1, 2000),
)
def test_an_image_is_found_at_any_place(place: object, streamed: bool, at: int) -> None:
    value = {"wrapped": place}
    body = events(value) if streamed else whole(value)
    reader = AnswerReader(base_url=HOST)
    for start in range(0, len(body), at):
        reader.feed(body[start : start + at])
    assert reader.finish().images == (ImageData(FINAL),)


@given(
    place=st.recursive(st.just(DRAFT_URL), nested, max_leaves=4), name=st.sampled_from(["reasoning", "partial_images"])
)
def test_and_nowhere_below_what_is_no_result(place: object, name: str) -> None:
    assert images(whole({name: place, "data": [{"b64_json": B64}]})) == [ImageData(FINAL)]
    with pytest.raises(GatewayError):
        images(whole({name: place, "text": "no"}))
