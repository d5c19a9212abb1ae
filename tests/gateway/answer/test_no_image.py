"""Answers without an image: the error says what came instead."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from gateway.samples import b64, chunk, delta, message, outcome, png, read, stream
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import (
    AuthFailed,
    BadAnswer,
    ContentRefused,
    GatewayError,
    RateLimited,
    ServerFailed,
    StreamBroken,
)
from pack.nanobanana.gateway.answer.no_image import without_image
from pack.nanobanana.gateway.answer.reader import AnswerReader
from pack.nanobanana.gateway.answer.types import Answer, ImageUrl
from pack.nanobanana.gateway.client import redacted
from pack.nanobanana.gateway.retry import may_retry
from pack.nanobanana.settings.profile import Profile

U = "https://x.cn/a.png"


def failure(data: bytes, reader: AnswerReader | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(data, reader)
    return caught.value


@pytest.mark.parametrize(
    ("data", "kind", "billed", "message_"),
    [
        (
            stream(chunk("I can't draw that.", finish="stop")),
            ContentRefused,
            "yes",
            'text and no image (finish_reason: stop). It says: "I can\'t draw that."',
        ),
        (
            stream(chunk("", finish="content_filter")),
            ContentRefused,
            "yes",
            "refused to make this image (finish_reason: content_filter). It gave no reason.",
        ),
        (
            stream(chunk("Sorry", finish="CONTENT_FILTER")),
            ContentRefused,
            "yes",
            'refused to make this image (finish_reason: CONTENT_FILTER). It says: "Sorry"',
        ),
        (
            stream({"choices": [{"delta": {}, "finish_reason": "stop", "native_finish_reason": "IMAGE_SAFETY"}]}),
            ContentRefused,
            "yes",
            "(finish_reason: stop, IMAGE_SAFETY)",
        ),
        (
            stream(delta(refusal="I'm "), delta(refusal="sorry")),
            ContentRefused,
            "yes",
            'refused to make this image. It says: "I\'m sorry"',
        ),
        (json.dumps(message("No.")).encode(), ContentRefused, "yes", 'It says: "No."'),
        (
            stream(chunk("half a thou", finish="length")),
            BadAnswer,
            "yes",
            'without an image (finish_reason: length). The answer was: "half a thou"',
        ),
        (stream(chunk("")), BadAnswer, "yes", "It holds only these fields: id, object, model, choices."),
        (stream(), BadAnswer, "yes", "It was empty."),
        (b"", BadAnswer, "yes", "It was empty."),
        (b" \n\n", BadAnswer, "yes", "It was empty."),
        (b": PING\n\ndata:\n\n", BadAnswer, "yes", "It was empty."),
        (b"{}", BadAnswer, "yes", "It was empty."),
        (b"data: upstream said no\n\n", BadAnswer, "yes", 'The answer was: "upstream said no"'),
        (b"event: error\ndata: upstream said no\n\n", ServerFailed, "maybe", 'It says: "upstream said no"'),
        (b'event: error\ndata: {"message": "no", "code": 401}\n\n', AuthFailed, "no", 'It says: "no"'),
        (b'{"error": {"message": "no", "code": "429"}}', RateLimited, "no", 'It says: "no"'),
        (b"data: 1\n\n" + b'{"error": {"message": "raw"}}\n', ServerFailed, "maybe", 'It says: "raw"'),
        (
            b"<!DOCTYPE html><title>Sign in</title>",
            BadAnswer,
            "maybe",
            'sent a web page instead of an answer: "Sign',
        ),
        (b"\xef\xbb\xbf<html></html>", BadAnswer, "maybe", "sent an empty web page"),
        (
            b"upstream connect error",
            BadAnswer,
            "maybe",
            'instead of an answer: "upstream connect error"',
        ),
        (b"dat", BadAnswer, "maybe", 'sent this text instead of an answer: "dat"'),
        (b"\x00\x01", BadAnswer, "maybe", "nothing that can be read"),
        (b"{nonsense}", BadAnswer, "maybe", 'sent this text instead of an answer: "{nonsense}"'),
        (b'["words"]', BadAnswer, "maybe", "sent this text"),
        (
            b'{"choices": [{"message": {"content": "half a',
            StreamBroken,
            "maybe",
            'broke off before an image came. So far it said: "half a"',
        ),
        (b'data: {"choices": [{"delta": {"content": "half a', StreamBroken, "maybe", "broke off before an image came"),
        (
            stream(chunk("see https://x.cn/help.html", finish="stop")),
            ContentRefused,
            "yes",
            "see https://x.cn/help.html",
        ),
        (stream(chunk("see https://x.cn/help", finish="SAFETY")), ContentRefused, "yes", "see https://x.cn/help"),
        (stream(delta(reasoning_content="thinking")), BadAnswer, "yes", 'the model\'s thinking: "thinking"'),
    ],
)
def test_what_came_instead(data: bytes, kind: type[GatewayError], billed: str, message_: str) -> None:
    error = failure(data)
    assert type(error) is kind
    assert error.billed == billed
    assert message_ in error.message
    assert error.hint
    assert outcome([data[place : place + 1] for place in range(len(data))]) == outcome(data)


def test_a_refusal_carries_the_reason_as_its_code() -> None:
    error = failure(stream(chunk("no", finish="Content_Filter")), AnswerReader(request_id="r1"))
    assert isinstance(error, ContentRefused)
    assert (error.status, error.code, error.request_id) == (200, "content_filter", "r1")
    assert str(error) == (
        'The model refused to make this image (finish_reason: Content_Filter). It says: "no" Request id: r1. '
        "This call was billed. Change the prompt or the input images."
    )


def test_the_models_words_are_bounded_and_hold_no_key() -> None:
    error = failure(stream(chunk("x" * 100 + " sk-secret " + "y" * 1_000)))
    error.redact(lambda text: text.replace("sk-secret", "[key]"))
    assert "secret" not in str(error)
    assert "[key]" in str(error)
    assert len(str(error)) < 600
    data = stream({**chunk(f"sk-secret ![a]({U})", finish="sk-secret"), "id": "sk-secret", "model": "sk-secret"})
    answer = redacted(read(data)[1], Profile(api_key="sk-secret"))
    assert "secret" not in repr(answer)


def test_an_error_is_raised_by_the_feed_that_brings_it() -> None:
    reader = AnswerReader(key_is_set=False, request_id="r1")
    reader.feed(stream(chunk("words"), done=False))
    with pytest.raises(AuthFailed, match="no key is set") as caught:
        reader.feed(stream({"error": {"message": "no", "code": 401}}, done=False))
    assert caught.value.request_id == "r1"


def test_an_error_after_a_image_doesnt_take_it_away() -> None:
    events, answer = read(stream(chunk(media={"outputs": [U]}), {"error": {"message": "late"}}))
    assert events == [ImageUrl(U)]
    assert answer.images == (ImageUrl(U),)


def test_an_error_counts_when_what_came_before_it_was_no_image_after_all() -> None:
    error = failure(stream(chunk("https://x.cn/1 "), {"error": {"message": "late"}}, chunk("is the help page")))
    assert 'It says: "late"' in error.message


def test_what_is_saved_of_an_answer_that_breaks_off_in_an_error() -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk(U), done=False) + b'data: {"error": {"message": "the up')
    saved = reader.salvage()
    assert saved is not None
    assert saved.images == (ImageUrl(U, certain=False),)


def test_an_error_after_an_open_url_is_raised_and_the_url_can_be_saved() -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk(U), done=False))
    with pytest.raises(ServerFailed):
        reader.feed(stream({"error": {"message": "late"}}, done=False))
    saved = reader.salvage()
    assert saved is not None
    assert saved.images == (ImageUrl(U, certain=False),)


FRAGMENTS = [
    b"data: ",
    b"\n",
    b"\n\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"1e999",
    b"\\u12",
    b"[DONE]",
]
FRAGMENTS += [
    b'"choices":[{"delta":{"content":"',
    b'"media":{"outputs":["',
    U.encode(),
    b'"error":',
    b"\xff\xfe",
    b"<html>",
]
FRAGMENTS += [
    json.dumps(chunk(U)).encode(),
    json.dumps(message(U, images=[{"image_url": {"url": "data:,x"}}])).encode(),
]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=6), max_size=30), st.integers(1, 50))
def test_garbage_raises_only_our_errors(parts: list[bytes], step: int) -> None:
    data = b"".join(parts)
    reader = AnswerReader()
    came = outcome([data[start : start + step] for start in range(0, len(data), step)], reader)
    assert came.images if isinstance(came, Answer) else came
    saved = reader.salvage()
    assert saved is None or saved.images


@given(st.binary(max_size=200), st.sampled_from([b"", b"data: ", b"{", b'data: {"choices":[{"delta":{"content":"']))
def test_any_bytes_raise_only_our_errors(data: bytes, before: bytes) -> None:
    assert outcome(before + data) is not None


@given(st.integers(0, 10_000))
def test_a_image_that_was_whole_is_saved(place: int) -> None:
    whole = stream(chunk(f"![a](data:image/png;base64,{'A' * 100})"), chunk(media={"outputs": [U]}), done=False)
    rest = stream(chunk("more " * 20), {"choices": [], "usage": {"total_tokens": 1}})
    reader = AnswerReader()
    reader.feed(whole + rest[: place % len(rest)])
    saved = reader.salvage()
    assert saved is not None
    assert saved.images == (ImageUrl(U),)


@pytest.mark.parametrize(
    ("data", "images"),
    [
        (b'data: {"media":{"outputs":["https://x.cn/a.png', [ImageUrl(U, False)]),
        (b'data: {"media":{"outputs":["https://x.cn/a.png"', [ImageUrl(U, False)]),
        (b'data: {"media":{"outputs":["https:\\/\\/x.cn\\/a.png"],"x":tr', [ImageUrl(U, False)]),
        (b'{"choices":[{"message":{"content":"![a](https://x.cn/a.png', [ImageUrl(U, False)]),
        (b'{"choices":[{"message":{"content":"![a](https://x.cn/a.png)","role', [ImageUrl(U)]),
        (
            b'{"data":[{"url":"https://x.cn/a.png"},{"url":"https://x.cn/b.png\\u4f',
            [ImageUrl(U, False), ImageUrl("https://x.cn/b.png", False)],
        ),
        (b'{"data":[{"b64_json":"' + b"A" * 400, None),
        (b'data: {"choices":[{"delta":{"content":"data:image/png;base64,' + b"A" * 400, None),
        (b'data: {"choices":[{"delta":{"reasoning_content":"https://x.cn/a.png', None),
        (b'data: {"choices":[{"delta":{"content":"I ca', None),
        (b"data: ", None),
        (b"", None),
        (b"<html>", None),
        (b"}{][", None),
    ],
)
def test_what_is_saved_of_a_broken_answer(data: bytes, images: list[ImageUrl] | None) -> None:
    reader = AnswerReader()
    reader.feed(data)
    saved = reader.salvage()
    assert (None if saved is None else list(saved.images)) == images


def test_a_whole_image_before_half_a_one_is_saved() -> None:
    image = b64(png())
    reader = AnswerReader()
    reader.feed(f'{{"data":[{{"b64_json":"{image}"}},{{"b64_json":"{image[:-30]}'.encode())
    saved = reader.salvage()
    assert saved is not None
    assert [getattr(item, "data", None) for item in saved.images] == [png()]


def test_after_done_the_text_is_whole() -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk(U)))
    saved = reader.salvage()
    assert saved is not None
    assert saved.images == (ImageUrl(U, certain=True),)


def test_a_plain_link_is_a_last_resort_and_the_refusal_is_kept_beside_it() -> None:
    words = "Here it is: https://x.cn/p/8f3a and https://x.cn/about.html"
    reader = AnswerReader()
    reader.feed(stream(chunk(words, finish="stop")))
    answer = reader.finish()
    assert answer.images == (ImageUrl("https://x.cn/p/8f3a", certain=False),)
    assert answer.guessed
    error = without_image(answer)
    assert isinstance(error, ContentRefused)
    assert "Here it is" in error.message


def test_a_link_beside_a_image_is_none() -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk("![a](https://x.cn/a.png) more at https://x.cn/p/8f3a", finish="stop")))
    answer = reader.finish()
    assert answer.images == (ImageUrl("https://x.cn/a.png"),)
    assert not answer.guessed


BEGINNINGS: dict[str, list[object]] = {
    "a role": [{"choices": [{"delta": {"role": "assistant"}}]}],
    "words": [chunk("Working on it")],
    "thinking": [{"choices": [{"delta": {"reasoning_content": "A cat ..."}}]}],
    "progress": [{"message": "50 %"}],
}
NOT_BILLED = [
    {"error": {"message": "slow down", "code": "rate_limit_exceeded"}},
    {"error": {"message": "no", "code": 429}},
    {"error": {"message": "no channel", "code": "model_not_found"}},
    {"error": {"message": "bad key", "code": "invalid_api_key"}},
    {"error": {"message": "no money", "code": "insufficient_quota"}},
]


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("error", NOT_BILLED, ids=lambda error: str(error["error"]["code"]))
def test_once_an_answer_has_begun_no_error_in_it_says_not_billed(beginning: str, error: dict[str, Any]) -> None:
    assert failure(stream(error)).billed == "no"
    late = failure(stream(*BEGINNINGS[beginning], error))
    assert late.billed == "maybe"
    assert not may_retry(late, 1)


@pytest.mark.parametrize("error", NOT_BILLED, ids=lambda error: str(error["error"]["code"]))
@pytest.mark.parametrize("text", [U, f"Here: {U}", f"![a]({U})"])
def test_an_address_that_came_before_an_error_is_salvaged(text: str, error: dict[str, Any]) -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk(text), done=False))
    with contextlib.suppress(GatewayError):
        reader.feed(stream(error, done=False))
    salvaged = reader.salvage()
    assert salvaged is not None
    assert [one.url for one in salvaged.images if isinstance(one, ImageUrl)] == [U]
