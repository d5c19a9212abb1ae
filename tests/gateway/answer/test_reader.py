"""Every shape of an answer, in every framing and any split."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.samples import b64, chunk, cut, data_url, delta, message, outcome, png, read, stream
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.errors import GatewayError
from pack.nanobanana.gateway.answer.reader import AnswerReader
from pack.nanobanana.gateway.answer.types import Answer, ImageData, ImageUrl, Reasoning

A, B = png(1), png(2)
U = "https://xxx.xxx.cn/output/38fa5bcb-d055-40b0-9f04-5ef259c9131c-u2_307ace79-d89b-4075-9e71-8180774947c4.jpeg"
V = "https://x.cn/b.png"
STOP = "\u3002"

# The page's own example of an answer.
DOCUMENTED = {
    "id": "chatcmpl_3a72451d018247b6a14adb45275c2433",
    "object": "chat.completion.chunk",
    "created": 1773835762,
    "model": "NanoBananaPro-8K",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": U}, "finish_reason": "stop"}],
    "media": {"outputs": [U]},
}


def url(*urls: str) -> tuple[ImageUrl, ...]:
    return tuple(ImageUrl(item) for item in urls)


def inline(*images: bytes) -> tuple[ImageData, ...]:
    return tuple(ImageData(item) for item in images)


def image_url(value: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": value}}


# (name, payloads of a stream, images)
STREAMS: list[tuple[str, list[Any], tuple[object, ...]]] = [
    ("documented", [DOCUMENTED], url(U)),
    ("media in a chunk of its own", [chunk(""), chunk(choices=[], media={"outputs": [U, V]})], url(U, V)),
    ("media are preferred to links", [chunk(f"![x]({V}) and https://x.cn/c.png", media={"outputs": [U]})], url(U)),
    ("media once each", [chunk(media={"outputs": [U]}), chunk(media={"outputs": [U, V, U]})], url(U, V)),
    ("media as data", [chunk(media={"outputs": [data_url(A), b64(B)]})], inline(A, B)),
    ("media as objects", [chunk(media={"outputs": [{"url": U}, {"b64_json": b64(A)}]})], url(U) + inline(A)),
    ("useless media", [chunk(U, media={"outputs": ["", None, 3, "x"]})], url(U)),
    ("bare URL", [chunk(U, finish="stop")], url(U)),
    ("bare URL without extension", [chunk("https://x.cn/o/1?sig=a_")], url("https://x.cn/o/1?sig=a_")),
    ("bare URL in pieces", [chunk(""), *(chunk(c) for c in U), chunk(finish="stop")], url(U)),
    (
        "URLs alone",
        [chunk("https://x.cn/1\nhttps://x.cn/2 ,\n3. https://x.cn/3")],
        url(*(f"https://x.cn/{n}" for n in (1, 2, 3))),
    ),
    ("a link among words is no image", [chunk(f"See https://x.cn/help. {V}{STOP}")], url(V)),
    ("Markdown", [chunk("Done ![a](https://x.c"), chunk(f"n/1) [b]({V})")], url("https://x.cn/1", V)),
    ("Markdown data in pieces", [chunk(c) for c in (f"![a]({data_url(A)})", "![b](", data_url(B), ")")], inline(A, B)),
    ("HTML", [chunk(f'<img src="{U}"><img src="{data_url(A)}">')], url(U) + inline(A)),
    ("OpenRouter", [delta(content="", images=[image_url(data_url(A)), image_url(U)])], inline(A) + url(U)),
    ("image_url as a string", [delta(images=[{"type": "image_url", "image_url": U}])], url(U)),
    ("images as strings", [delta(images=[U, b64(A)])], url(U) + inline(A)),
    ("LiteLLM", [delta(image={"url": data_url(A), "detail": "auto"})], inline(A)),
    ("parts: image_url", [delta(content=[{"type": "text", "text": "here"}, image_url(b64(A))])], inline(A)),
    ("parts: base64", [delta(content=[{"type": "image", "image": {"base64": b64(A)}}])], inline(A)),
    ("parts: inline_data", [delta(content=[{"inline_data": {"mime_type": "image/png", "data": b64(A)}}])], inline(A)),
    ("parts: inlineData", [delta(content=[{"inlineData": {"mimeType": "image/png", "data": b64(A)}}])], inline(A)),
    ("parts: text with a link", [delta(content=[{"type": "text", "text": f"![a]({V})"}])], url(V)),
    ("parts: strings", [delta(content=["see ", f"![a]({V})", 3])], url(V)),
    ("parts: thinking", [delta(content=[{"type": "thinking", "thinking": f"![a]({V})"}, image_url(U)])], url(U)),
    (
        "parts: a film",
        [delta(content=[{"inline_data": {"mime_type": "video/mp4", "data": b64(A)}}, image_url(U)])],
        url(U),
    ),
    ("parts: a file", [delta(content=[{"type": "file", "url": V}, image_url(U)])], url(U)),
    ("images at the top", [{"images": [{"url": U}, {"b64_json": b64(A)}]}], url(U) + inline(A)),
    ("nested too deep", [delta(image={"url": {"url": {"url": {"url": {"url": V}}}}}), chunk(U)], url(U)),
    ("one part, no list", [delta(content=image_url(U))], url(U)),
    (
        "the same as field and in the text",
        [delta(content=f"![a]({data_url(A)}) ![b]({V})", images=[image_url(data_url(A))])],
        inline(A) + url(V),
    ),
    ("a link beside a field is only text", [delta(content=f"see {V}", images=[image_url(U)])], url(U)),
    ("images API in a stream", [{"data": [{"b64_json": b64(A)}, {"url": U}]}], inline(A) + url(U)),
    ("message in a stream", [message(f"![a]({U})")], url(U)),
    ("deltas, then the whole message", [chunk(U), message(U)], url(U)),
    ("reasoning holds drafts", [delta(reasoning_content=f"![draft]({V})"), delta(reasoning=V), chunk(U)], url(U)),
    (
        "two choices",
        [{"choices": [{"index": 1, "delta": {"content": V}}, {"index": 0, "delta": {"content": U}}]}],
        url(V, U),
    ),
    ("usage without choices", [chunk(U), {"choices": [], "usage": {"total_tokens": 3}}], url(U)),
    ("images before an error", [chunk(f"![a]({U})"), {"error": {"message": "late", "code": "x"}}], url(U)),
    ("odd events between", ["text", 3, None, [], {}, [chunk(U)]], url(U)),
    (
        "nulls everywhere",
        [
            {
                "id": None,
                "choices": [None, {"delta": None}, {"delta": {"content": None, "images": None}}],
                "media": None,
                "usage": None,
                "error": None,
            },
            chunk(U),
        ],
        url(U),
    ),
]
# (name, the whole body, images)
PLAIN: list[tuple[str, Any, tuple[object, ...]]] = [
    ("message", message(f"![a]({U})"), url(U)),
    ("message with media", {**message("words"), "media": {"outputs": [U]}}, url(U)),
    ("message with images", message("words", images=[image_url(data_url(A))]), inline(A)),
    ("message with image", message(None, image={"url": U}), url(U)),
    ("message of parts", message([image_url(U), {"type": "image", "image": {"base64": b64(A)}}]), url(U) + inline(A)),
    ("images API", {"created": 1, "data": [{"b64_json": b64(A), "url": None}, {"url": U}]}, inline(A) + url(U)),
    ("images API, both", {"data": [{"b64_json": b64(A), "url": U}]}, inline(A)),
    ("a lone chunk", DOCUMENTED, url(U)),
    ("an array of chunks", [chunk("https://x.cn/"), chunk("1.png")], url("https://x.cn/1.png")),
    ("wrapped", {"code": 200, "msg": "ok", "data": message(U)}, url(U)),
]


@pytest.mark.parametrize(("payloads", "images"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_streams(payloads: list[Any], images: tuple[object, ...], end: str) -> None:
    data = stream(*payloads, end=end)
    assert read(data)[1].images == images
    assert read(stream(*payloads, end=end, space="", done=False))[1].images == images
    assert read(b"\xef\xbb\xbf: PING\n\n" + data.rstrip())[1].images == images
    one_line_break = data.replace(end.encode() * 2, end.encode())
    assert read(one_line_break)[1].images == images


@pytest.mark.parametrize(("body", "images"), [case[1:] for case in PLAIN], ids=[case[0] for case in PLAIN])
def test_plain_answers(body: Any, images: tuple[object, ...]) -> None:
    data = json.dumps(body).encode()
    assert read(data)[1].images == images
    assert (
        read(b"\xef\xbb\xbf \r\n" + json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n")[1].images == images
    )
    assert read(b"data: " + data)[1].images == images, "one event"


EVERYTHING = {case[0]: stream(*case[1]) for case in STREAMS} | {
    case[0] + ", plain": json.dumps(case[1]).encode() for case in PLAIN
}


@pytest.mark.parametrize("data", EVERYTHING.values(), ids=EVERYTHING.keys())
def test_every_split_gives_the_same_answer(data: bytes) -> None:
    whole = outcome(data)
    assert isinstance(whole, Answer)
    assert outcome([data[place : place + 1] for place in range(len(data))]) == whole
    for place in range(0, len(data), 1 + len(data) // 80):
        assert outcome([data[:place], data[place:]]) == whole, place


@given(st.sampled_from(sorted(EVERYTHING)), st.lists(st.integers(0, 100_000), max_size=20))
def test_any_split_gives_the_same_answer(name: str, places: list[int]) -> None:
    assert outcome(cut(EVERYTHING[name], places)) == outcome(EVERYTHING[name])


@pytest.mark.parametrize("data", EVERYTHING.values(), ids=EVERYTHING.keys())
def test_a_cut_answer_never_gives_what_was_not_there(data: bytes) -> None:
    whole = {item.url if isinstance(item, ImageUrl) else item.data for item in read(data)[1].images}
    for place in range(0, len(data), 1 + len(data) // 80):
        for end in ("salvage", "finish"):
            reader = AnswerReader()
            try:
                reader.feed(data[:place])
                saved = reader.salvage() if end == "salvage" else reader.finish()
            except GatewayError:
                continue
            for item in saved.images if saved else ():
                if isinstance(item, ImageData):
                    assert item.data in whole
                elif item.certain and "media" not in data.decode():
                    # Only media.outputs, which may come last, take away what the text held.
                    assert item.url in whole or any(item.url in str(other) for other in whole), place


def test_the_documented_answer_in_full() -> None:
    events, answer = read(stream(DOCUMENTED))
    assert events[0] == ImageUrl(U)
    assert answer == Answer(
        images=url(U),
        text="",
        finish_reason="stop",
        request_id="chatcmpl_3a72451d018247b6a14adb45275c2433",
        fields="id, object, created, model, choices, media",
    )


def test_a_byte_order_mark_is_taken_off_in_any_split() -> None:
    for data in (b"\xef\xbb\xbf" + stream(chunk(U)), b"\xef\xbb\xbf" + json.dumps(chunk(U)).encode()):
        for place in range(1, 8):
            reader = AnswerReader()
            reader.feed(data[:place])
            reader.feed(data[place:])
            assert reader.finish().images == url(U), place


def test_the_data_lines_of_one_event_are_joined_with_a_line_break() -> None:
    reader = AnswerReader()
    with pytest.raises(GatewayError, match='"the model is gone; choose another"'):
        reader.feed(b"event: error\ndata: the model is gone;\ndata: choose another\n\n")


def test_text_and_ids() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1290}
    data = stream(chunk("Here you are: "), chunk(f"![a]({U}) enjoy", finish="STOP"), {"choices": [], "usage": usage})
    answer = read(data)[1]
    assert answer.text == "Here you are:  enjoy"
    assert answer.finish_reason == "STOP"
    assert answer.request_id == "chatcmpl_1"
    assert read(data, AnswerReader(request_id="from-the-header"))[1].request_id == "from-the-header"


def test_a_character_that_came_in_halves_is_joined() -> None:
    halves = stream(chunk("a \ud83d"), chunk("\ude00"), chunk(media={"outputs": [U]}))
    assert read(halves)[1].text == "a \U0001f600"
    lone = read(
        b'data: {"choices":[{"delta":{"content":"a \\ud83d b"}}],"media":{"outputs":["https://x.cn/\\ud83d"]}}\n\n'
    )[1]
    assert lone.text == "a \ufffd b"
    assert lone.images == url("https://x.cn/%EF%BF%BD")


def test_what_links_to_no_image_stays_in_the_words() -> None:
    answer = read(stream(chunk(f"See [help](https://x.cn/help) {U}", media={"outputs": [V]})))[1]
    assert answer.text == f"See https://x.cn/help {U}".replace("https://x.cn/help", "[help](https://x.cn/help)")


def test_images_come_with_the_event_that_completes_them() -> None:
    reader = AnswerReader()
    assert reader.feed(stream(chunk("![a](https://x.cn/1"), done=False)) == []
    data = stream(chunk(") more"), done=False)
    assert reader.feed(data[:-1]) == []
    assert reader.feed(data[-1:]) == [ImageUrl("https://x.cn/1")]
    assert reader.feed(stream(chunk(f"![b]({data_url(A)})"), done=False)) == [ImageData(A)]
    assert reader.feed(stream(chunk(f"![b]({data_url(A)})"), done=False)) == [], "each once"


def test_a_url_that_may_go_on_is_given_as_uncertain_until_the_text_has_ended() -> None:
    reader = AnswerReader()
    assert reader.feed(stream(chunk("https:"), chunk("//x.cn/a.pn"), done=False)) == []
    assert reader.feed(stream(chunk("g"), done=False)) == [ImageUrl("https://x.cn/a.png", certain=False)]
    assert reader.feed(stream(chunk("?sig=1"), done=False)) == []
    assert reader.feed(stream(chunk(finish="stop"), done=False)) == [ImageUrl("https://x.cn/a.png?sig=1")]
    assert reader.finish().images == url("https://x.cn/a.png?sig=1")
    assert AnswerReader().feed(stream(chunk("https://x.cn/o/1?sig=1"), done=False)) == [
        ImageUrl("https://x.cn/o/1?sig=1", certain=False)
    ]


def test_media_silence_the_text() -> None:
    events, _ = read(stream(chunk(media={"outputs": [U]}), chunk(f"![a]({V})"), delta(images=[image_url(V)])))
    assert events == [ImageUrl(U)]


def test_reasoning_is_progress_and_never_a_image() -> None:
    queued, percent = "\u6392\u961f\u4e2d", "\u8fdb\u5ea6 45%"
    data = stream(
        delta(reasoning_content=queued + "\n"),
        delta(reasoning_content=queued + "\n"),
        delta(reasoning_content=percent + f"\n![draft]({data_url(B)})\n"),
        delta(reasoning_content=percent + "\n"),
        chunk(U),
    )
    events, answer = read(data)
    assert [event.text for event in events if isinstance(event, Reasoning)] == [queued, percent]
    assert answer.images == url(U)
    with pytest.raises(GatewayError, match="nothing but the model's thinking"):
        read(stream(delta(reasoning_content=f"![draft]({V})")))


def test_news_without_an_answer_is_progress() -> None:
    events, answer = read(stream({"status": "processing", "message": "queued, 2nd"}, chunk(U)))
    assert events[0] == Reasoning("queued, 2nd")
    assert answer.images == url(U)


def test_done_is_known() -> None:
    reader = AnswerReader()
    reader.feed(stream(chunk(U), done=False))
    assert not reader.done
    reader.feed(b"data: [DONE]\n")
    assert not reader.done
    reader.feed(b"\n")
    assert reader.done


def test_lines_of_json_and_events_behind_json() -> None:
    first, second = json.dumps(chunk("https://x.cn/")).encode(), json.dumps(chunk("1.png")).encode()
    assert read(first + b"\n" + second + b"\n")[1].images == url("https://x.cn/1.png")
    assert read(first + b"\ndata: " + second + b"\n\n")[1].images == url("https://x.cn/1.png")


def test_pretty_printed_events() -> None:
    lines = json.dumps(chunk(U), indent=1).replace("\n", "\ndata: ")
    assert read(f"data: {lines}\n\n".encode())[1].images == url(U)


def test_at_most_64_images_count() -> None:
    urls = [f"https://x.cn/{number}.png" for number in range(5_000)]
    assert read(stream(chunk(media={"outputs": urls})))[1].images == url(*urls[:64])
    events, answer = read(stream(chunk("\n".join(urls))))
    assert answer.images == url(*urls[:64])
    assert len(events) <= 256
