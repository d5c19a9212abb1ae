from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest
from gateway_faults import FaultyGateway, family
from gateway_faults.answers import SHAPES, chunks
from gateway_faults.framing import FRAMINGS, compose, stream
from pack.nanobanana.simulator.answers import Identity, ServedImage
from simulator.talk import ask, dechunked, drain, gathered, open_request, order, read_events

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


PLAIN = ("framing_plain_json", "framing_lone_chunk")


@pytest.mark.parametrize("name", [name for name in family("framing") if name not in PLAIN])
def test_each_framing_holds_the_image(simulator: FaultyGateway, name: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]"))
    message = gathered(answer.events)
    assert message.content == message.top["media"]["outputs"][0]


def raw(simulator: FaultyGateway, *names: str) -> bytes:
    return ask(simulator.base_url, order("x " + "".join(f"[fault:{name}]" for name in names))).body


def test_line_ends(simulator: FaultyGateway) -> None:
    assert b"\r" not in raw(simulator, "framing_lf")
    crlf = raw(simulator, "framing_crlf")
    assert crlf.count(b"\r\n") == crlf.count(b"\n") == crlf.count(b"\r") == 4
    cr = raw(simulator, "framing_cr")
    assert b"\n" not in cr
    assert cr.endswith(b"data: [DONE]\r\r")


def test_small_oddities(simulator: FaultyGateway) -> None:
    assert raw(simulator, "framing_no_space").startswith(b"data:{")
    assert raw(simulator, "framing_bom").startswith(b"\xef\xbb\xbfdata: {")
    assert raw(simulator, "framing_no_final_blank_line").endswith(b"data: [DONE]")
    assert raw(simulator, "framing_no_done", "framing_no_final_blank_line").endswith(b"}")
    assert b"[DONE]" not in raw(simulator, "framing_no_done")
    assert raw(simulator, "framing_comments").startswith(b": PING\n\ndata: {")
    assert raw(simulator, "framing_empty_data").startswith(b"data:\n\ndata: {")
    assert raw(simulator, "framing_leading_blank_lines").startswith(b"\n\n\ndata: {")
    assert b"http:\\/\\/" in raw(simulator, "framing_escaped")
    assert raw(simulator, "framing_event_fields").startswith(b"event: message\nid: 7\nretry: 3000\ndata: {")
    assert raw(simulator, "framing_many_lines").count(b"\ndata: ") > 10


def test_usage_and_empty_first_chunks(simulator: FaultyGateway) -> None:
    events = [json.loads(text) for text in read_events(raw(simulator, "framing_usage"))[:-1]]
    assert [len(event["choices"]) for event in events] == [0, 1, 0]
    assert events[-1]["usage"]["total_tokens"] == 1548
    events = [json.loads(text) for text in read_events(raw(simulator, "framing_empty_first"))[:-1]]
    assert [event["choices"][0]["delta"]["content"] == "" for event in events] == [True, False]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("framing_text_plain", "text/plain"),
        ("framing_json_type", "application/json"),
        ("framing_html_type", "text/html"),
        ("framing_no_type", None),
    ],
)
def test_wrong_content_types(simulator: FaultyGateway, name: str, content_type: str | None) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]"))
    assert answer.headers.get("content-type") == content_type
    assert answer.body.startswith(b"data: ")


def test_plain_answers_to_a_stream(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:framing_plain_json]"))
    assert answer.json["object"] == "chat.completion"
    assert answer.headers["content-type"] == "application/json"
    lone = ask(simulator.base_url, order("x [fault:framing_lone_chunk]"))
    assert lone.json["object"] == "chat.completion.chunk"
    assert lone.json["choices"][0]["delta"]["content"] == lone.json["media"]["outputs"][0]


@pytest.mark.parametrize("plain", ["", "[fault:framing_plain_json]"])
def test_gzip(simulator: FaultyGateway, plain: str) -> None:
    with open_request(simulator.base_url, order(f"x [fault:framing_gzip][fault:framing_close_delimited]{plain}")) as it:
        data, ending = drain(it)
    head, _, body = data.partition(b"\r\n\r\n")
    assert ending == "closed"
    assert b"Content-Encoding: gzip" in head
    assert b"media" in gzip.decompress(body)


def test_transfers(simulator: FaultyGateway) -> None:
    length = ask(simulator.base_url, order("x [fault:framing_content_length]"))
    assert int(length.headers["content-length"]) == len(length.body)
    assert "transfer-encoding" not in length.headers
    close = ask(simulator.base_url, order("x [fault:framing_close_delimited]"))
    assert "content-length" not in close.headers
    assert "transfer-encoding" not in close.headers
    assert close.body.endswith(b"data: [DONE]\n\n")


def test_byte_by_byte_has_chunks_of_one_byte(simulator: FaultyGateway) -> None:
    with open_request(simulator.base_url, order("x [fault:framing_byte_by_byte]")) as connection:
        connection.settimeout(10)
        data, _ = drain(connection)
    sizes = [line for line in data.partition(b"\r\n\r\n")[2].split(b"\r\n")[::2] if line]
    assert set(sizes) == {b"1", b"0"}
    assert dechunked(data).endswith(b"data: [DONE]\n\n")


IDENTITY = Identity("chatcmpl_1", 1773835762, "NanoBananaPro-8K")
CONTENT = [name for name in FRAMINGS if name not in (*PLAIN, "framing_gzip")]


@pytest.mark.parametrize("name", CONTENT)
def test_framings_add_up(name: str) -> None:
    events = chunks(SHAPES["shape_markdown"][0]([ServedImage("http://h/output/1.png", b"x", "image/png")]), IDENTITY, 5)
    for other in CONTENT:
        data = b"".join(piece.data for piece in stream(compose([name, other]), events, IDENTITY))
        texts = [text for text in read_events(data) if text not in ("", "[DONE]")]
        message = gathered([json.loads(text) for text in texts])
        assert message.content == "Here you are:\n\n![image](http://h/output/1.png)\n", other
