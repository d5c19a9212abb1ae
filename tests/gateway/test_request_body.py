"""The request, against the page's own examples."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from gateway.samples import png
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.catalog import DIALECTS
from pack.nanobanana.errors import ConfigError, InputError
from pack.nanobanana.gateway.request_body import PIECE_BYTES, RequestBody
from pack.nanobanana.image_request import EncodedImage, ImageRequest
from pack.nanobanana.settings.profile import Profile

# Both examples, as the endpoint's page prints them.
TEXT_EXAMPLE = """
{
"model": "NanoBananaPro-1K",
"messages": [
{
"role": "user",
"content": "a cute cat"
}
],
"extra_body": {
"google": {
"image_config": {
"aspect_ratio": "16:9"
}
}
},
"stream": true
}
"""
THREE_VIEWS = (
    "\u5728\u540c\u4e00\u753b\u5e03\u4e0b,\u751f\u6210\u6b64\u7269\u54c1\u7684"
    "\u4e09\u89c6\u56fe,\u5fc5\u987b\u767d\u8272\u80cc\u666f"
)
IMAGE_EXAMPLE = """
{
"model": "NanoBananaPro-1K",
"messages": [
{
"role": "user",
"content": [
{
"type": "text",
"text": "THREE_VIEWS"
},
{
"type": "image_url",
"image_url": {
"url": "data:image/png;base64,iVBORw=="
}
}
]
}
],
"extra_body": {
"google": {
"image_config": {
"aspect_ratio": "16:9"
}
}
},
"stream": true
}
""".replace("THREE_VIEWS", THREE_VIEWS)
CAT = ImageRequest("NanoBananaPro-1K", "a cute cat", "16:9", "png")
VIEWS = ImageRequest("NanoBananaPro-1K", THREE_VIEWS, "16:9", "png")
IMAGE = EncodedImage(b"\x89PNG", "image/png")


def sent(
    request: ImageRequest, *images: EncodedImage, dialect: str = "documented", stream: bool = True, **profile: Any
) -> dict[str, Any]:
    body = RequestBody(request, images, Profile(dialect=dialect, stream=stream, **profile))
    pieces = list(body)
    data = b"".join(pieces)
    assert len(body) == len(data)
    assert b"".join(body) == data, "the body can be sent again"
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return json.loads(data)


@pytest.mark.parametrize(
    ("request_", "images", "example"),
    [(CAT, (), TEXT_EXAMPLE), (VIEWS, (IMAGE,), IMAGE_EXAMPLE)],
    ids=["text", "image"],
)
def test_extra_body_is_exactly_the_pages_example(
    request_: ImageRequest, images: tuple[EncodedImage, ...], example: str
) -> None:
    body = sent(request_, *images, dialect="extra_body")
    assert body == json.loads(example)
    assert list(body) == list(json.loads(example)), "in the page's order"


@pytest.mark.parametrize(
    ("request_", "images", "example"),
    [(CAT, (), TEXT_EXAMPLE), (VIEWS, (IMAGE,), IMAGE_EXAMPLE)],
    ids=["text", "image"],
)
def test_documented_adds_the_tables_keys_to_the_example(
    request_: ImageRequest, images: tuple[EncodedImage, ...], example: str
) -> None:
    assert sent(request_, *images) == {**json.loads(example), "--aspect_ratio": "16:9", "--output_format": "png"}


def test_prompt_flags_stand_behind_the_prompt() -> None:
    body = sent(CAT, dialect="prompt_flags")
    expected = json.loads(TEXT_EXAMPLE)
    expected["messages"][0]["content"] = "a cute cat --aspect_ratio 16:9 --output_format png"
    assert body == expected
    parts = sent(VIEWS, IMAGE, dialect="prompt_flags")["messages"][0]["content"]  # type: ignore[index]
    assert parts[0] == {"type": "text", "text": THREE_VIEWS + " --aspect_ratio 16:9 --output_format png"}


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("NanoBananaPro-4K", {"aspect_ratio": "16:9", "image_size": "4K"}),
        ("NanoBanana", {"aspect_ratio": "16:9"}),
        ("NanoBanana2-0.5K", {"aspect_ratio": "16:9"}),
        ("a-model-of-the-settings", {"aspect_ratio": "16:9"}),
        ("google/gemini-3-pro-image 2K", {"aspect_ratio": "16:9", "image_size": "2K"}),
        ("a model 8K", {"aspect_ratio": "16:9"}),
        (" 4K", {"aspect_ratio": "16:9"}),
    ],
)
def test_openrouter_names_ratio_and_size_at_the_top(model: str, config: dict[str, str]) -> None:
    assert sent(ImageRequest(model, "a cute cat", "16:9", "png"), dialect="openrouter") == {
        "model": model.removesuffix(" 2K"),
        "messages": [{"role": "user", "content": "a cute cat"}],
        "modalities": ["image", "text"],
        "image_config": config,
        "stream": True,
    }


def test_a_size_behind_an_extra_models_name_goes_to_where_the_ratio_is() -> None:
    body = sent(ImageRequest("google/gemini-3-pro-image 4K", "a cat", "16:9", "png"), dialect="extra_body")
    assert body["model"] == "google/gemini-3-pro-image"
    assert body["extra_body"] == {"google": {"image_config": {"aspect_ratio": "16:9", "image_size": "4K"}}}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream_is_sent_as_it_is_set(dialect: str) -> None:
    assert sent(CAT, dialect=dialect, stream=False)["stream"] is False


def test_nothing_undocumented_is_sent() -> None:
    allowed = {"model", "--aspect_ratio", "--output_format", "messages", "extra_body", "stream"}
    assert set(sent(VIEWS, IMAGE)) == allowed


def test_images_become_data_urls_in_order() -> None:
    first, second = png(1), b"\xff\xd8\xff" + b"x" * 1001
    images = (EncodedImage(first, "image/png"), EncodedImage(second, "image/jpeg"))
    parts = sent(ImageRequest("NanoBanana", "p", "1:1", "png"), *images)["messages"][0]["content"]  # type: ignore[index]
    assert parts == [
        {"type": "text", "text": "p"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(first).decode()}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(second).decode()}},
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196_607, 196_608, 196_609, 700_001])
def test_pieces_join_to_the_image_at_every_remainder(size: int) -> None:
    data = bytes(position * 31 % 256 for position in range(size))
    parts = sent(CAT, EncodedImage(data, "image/png"))["messages"][0]["content"]  # type: ignore[index]
    assert base64.b64decode(parts[1]["image_url"]["url"].partition(",")[2], validate=True) == data


@given(st.text(), st.sampled_from(list(DIALECTS)))
def test_any_prompt_arrives_as_it_was_typed(prompt: str, dialect: str) -> None:
    content = sent(ImageRequest("NanoBanana", prompt, "1:1", "webp"), dialect=dialect)["messages"][0]["content"]  # type: ignore[index]
    assert content == prompt + (" --aspect_ratio 1:1 --output_format webp" if dialect == "prompt_flags" else "")


def test_chinese_is_sent_as_utf8_not_as_escapes() -> None:
    assert THREE_VIEWS.encode() in b"".join(RequestBody(VIEWS, (), Profile()))


def test_half_a_character_is_an_input_error() -> None:
    with pytest.raises(InputError, match="half a character"):
        RequestBody(ImageRequest("NanoBanana", "a\ud83d cat", "1:1", "png"), (), Profile())


def test_unknown_dialect_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="dialect is 'klingon'"):
        RequestBody(CAT, (), Profile(dialect="klingon"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_profile_adds_goes_out(dialect: str) -> None:
    body = sent(
        CAT,
        IMAGE,
        dialect=dialect,
        system_message="You draw.",
        prompt_prefix="Answer with an image:",
        body_fields='{"temperature": 0.5, "extra_body": {"google": {"seed": 1}}, "n": 1}',
    )
    system, user = body["messages"]
    assert system == {"role": "system", "content": "You draw."}
    assert user["content"][0]["text"].startswith("Answer with an image: a cute cat")
    assert (body["temperature"], body["n"], body["model"], body["stream"]) == (0.5, 1, "NanoBananaPro-1K", True)
    # What a person writes counts more than what the dialect would send.
    assert body["extra_body"] == {"google": {"seed": 1}}


def test_a_prefix_that_ends_in_white_space_is_put_as_it_is() -> None:
    (user,) = sent(CAT, prompt_prefix="Draw:\n")["messages"]
    assert user["content"] == "Draw:\na cute cat"


def test_without_additions_the_body_is_as_ever() -> None:
    assert sent(CAT, system_message="", prompt_prefix="", body_fields=" ") == sent(CAT)
