from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator

import pytest
from gateway_faults import FaultyGateway
from simulator.talk import ask, dechunked, drain, open_request, order

pytestmark = pytest.mark.slow

ANSWER_POINTS = ("after_headers", "after_first_event", "inside_event", "inside_url", "after_url", "before_done")


@pytest.fixture
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


@pytest.mark.parametrize(("action", "ending"), [("cut", "closed"), ("reset", "reset"), ("hang", "silent")])
@pytest.mark.parametrize("point", ["before_body", "mid_body", "before_headers"])
def test_before_the_answer(simulator: FaultyGateway, point: str, action: str, ending: str) -> None:
    simulator.script([f"{action}_{point}"])
    with contextlib.closing(open_request(simulator.base_url, order("x" * 1000))) as connection:
        connection.settimeout(0.3 if action == "hang" else 10)
        data, seen = drain(connection)
    assert data == b""
    # A socket that is closed over unread bytes resets the connection: the kernel's rule, and real gateways' too.
    assert seen == ending or (action == "cut" and point != "before_headers" and seen == "reset")
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].finished)
    post = simulator.ledger.posts[0]
    assert post.billed is (point == "before_headers")
    assert (post.closed_early is not None) is (action == "hang")


@pytest.mark.parametrize(("action", "ending"), [("cut", "closed"), ("reset", "reset"), ("hang", "silent")])
@pytest.mark.parametrize("point", ANSWER_POINTS)
def test_within_the_answer(simulator: FaultyGateway, point: str, action: str, ending: str) -> None:
    body = order(f"x [fault:shape_finish_later][fault:framing_empty_first][fault:{action}_{point}]")
    with contextlib.closing(open_request(simulator.base_url, body)) as connection:
        assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].status)
        connection.settimeout(0.5 if action == "hang" else 10)
        data, seen = drain(connection)
    assert seen == ending
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].finished)
    post = simulator.ledger.posts[0]
    assert post.billed
    assert (post.closed_early is not None) is (action == "hang")
    if action == "reset":
        # What was sent may be thrown away by a reset; how much of it is the kernel's business.
        return
    assert data.startswith(b"HTTP/1.1 200 ")
    assert not data.endswith(b"0\r\n\r\n")
    text = dechunked(data)
    (url,) = (url.encode() for url in post.image_urls)
    first, _, rest = text.partition(b"\n\n")
    assert {
        "after_headers": text == b"",
        "after_first_event": b'"content":""' in first and rest == b"",
        "inside_event": text.count(b"\n\n") == 1 and len(rest) > 50 and not rest.endswith(b"}"),
        "inside_url": rest.endswith(url[: len(url) // 2]),
        "after_url": rest.endswith(b"\n\n") and url in rest and b'finish_reason":"stop' not in rest,
        "before_done": rest.endswith(b"\n\n") and b'finish_reason":"stop' in rest and b"DONE" not in rest,
    }[point]


@pytest.mark.parametrize("count", [0, 1, 17, 100, 250])
def test_after_so_many_bytes(simulator: FaultyGateway, count: int) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:cut_after_bytes:{count}]"))
    assert (len(answer.body), answer.complete) == (count, False)


@pytest.mark.parametrize("framing", ["framing_plain_json", "framing_content_length", "framing_gzip", "framing_crlf"])
@pytest.mark.parametrize("shape", ["shape_documented", "shape_markdown_data", "shape_media_only"])
def test_cuts_go_with_every_framing_and_shape(simulator: FaultyGateway, shape: str, framing: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{shape}][fault:{framing}][fault:cut_inside_url]"))
    assert not answer.complete
    assert b"DONE" not in answer.body
    assert answer.body
    with pytest.raises(ValueError):
        json.loads(answer.body.removeprefix(b"data: "))


def test_an_answer_that_ends_with_its_connection_hides_the_cut(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:framing_close_delimited][fault:cut_inside_url]"))
    assert answer.complete
    assert b"DONE" not in answer.body


@pytest.mark.parametrize("point", ["after_headers", "after_bytes:40"])
def test_error_answers_are_cut_too(simulator: FaultyGateway, point: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:http_500][fault:cut_{point}]"))
    assert (answer.status, answer.complete) == (500, False)
    assert len(answer.body) == int(point.partition(":")[2] or 0)
    assert not simulator.ledger.billed


@pytest.mark.parametrize(
    "faults",
    ["latency:30", "hang_before_headers", "hang_after_headers", "hang_after_url", "chunk_delay:30", "hostile_drip"],
)
def test_a_client_that_leaves_is_seen_at_once(simulator: FaultyGateway, faults: str) -> None:
    connection = open_request(simulator.base_url, order(f"x [fault:{faults}]"))
    assert simulator.ledger.wait_for(lambda ledger: ledger.billed)
    time.sleep(0.1)
    left = time.monotonic()
    connection.close()
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts[0].closed_early)
    closed = simulator.ledger.posts[0].closed_early
    assert closed is not None
    # 20 ms between two looks; the rest is for a busy machine.
    assert 0 <= closed - left < 1
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].finished)


def test_a_client_that_leaves_in_its_upload_is_seen(simulator: FaultyGateway) -> None:
    connection = open_request(simulator.base_url, b"{" * 1000, length=2000)
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts)
    connection.close()
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts[0].closed_early)
    post = simulator.ledger.posts[0]
    assert (post.body_length, post.billed, post.body_received) == (1000, False, None)


def test_a_slow_upload_slows_the_sender(simulator: FaultyGateway) -> None:
    simulator.script(["slow_upload:200000"])
    started = time.monotonic()
    assert ask(simulator.base_url, order("x" * 100_000)).status == 200
    assert time.monotonic() - started > 0.4


def test_latency_goes_before_the_headers(simulator: FaultyGateway) -> None:
    with contextlib.closing(open_request(simulator.base_url, order("x [latency:0.4]"))) as connection:
        started = time.monotonic()
        assert connection.recv(1) == b"H"
        assert time.monotonic() - started > 0.35


def test_chunk_delay_goes_between_the_events(simulator: FaultyGateway) -> None:
    body = order("x [chunk_delay:0.2][fault:framing_usage]")
    with contextlib.closing(open_request(simulator.base_url, body)) as connection:
        arrivals = [time.monotonic() for _ in iter(lambda: b"0\r\n\r\n" in connection.recv(65536), True)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert sum(gap > 0.1 for gap in gaps) >= 3


def test_the_default_latency_is_the_simulators() -> None:
    with FaultyGateway(latency=1.2) as simulator:
        started = time.monotonic()
        ask(simulator.base_url, order())
        assert time.monotonic() - started >= 1.2
        # A refused request costs no time.
        started = time.monotonic()
        ask(simulator.base_url, b"{}")
        assert time.monotonic() - started < 1.1
