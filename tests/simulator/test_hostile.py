from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Iterator

import pytest
from gateway_faults import FaultyGateway, family
from gateway_faults.hostile import ANSWERS, RAW, gzip_bomb
from gateway_faults.results import HOSTILE_URLS
from simulator.talk import ask, dechunked, drain, gathered, open_request, order, read_events

pytestmark = pytest.mark.slow

ENDLESS = (
    "hostile_endless_stream",
    "hostile_endless_comments",
    "hostile_endless_text",
    "hostile_endless_line",
    "hostile_endless_event",
    "hostile_endless_json",
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


def raw(simulator: FaultyGateway, name: str, most: int = 1 << 24, timeout: float = 0.5) -> tuple[bytes, str]:
    with contextlib.closing(open_request(simulator.base_url, order(f"x [fault:{name}]"))) as connection:
        connection.settimeout(timeout)
        return drain(connection, most)


@pytest.mark.parametrize("name", ENDLESS)
def test_answers_without_end(simulator: FaultyGateway, name: str) -> None:
    data, ending = raw(simulator, name, most=2 << 20, timeout=10)
    assert ending == "more"
    text = dechunked(data[: 1 << 20])
    if name in ("hostile_endless_line", "hostile_endless_json"):
        assert b"\n" not in text
    if name == "hostile_endless_event":
        assert b"\n\n" not in text
    # The simulator notices that the client has had enough.
    assert simulator.ledger.wait_for(lambda ledger: ledger.posts[-1].closed_early)


@pytest.mark.parametrize(("name", "least", "most"), [("hostile_drip", 1, 3), ("hostile_endless_waiting", 8, 8)])
def test_answers_that_crawl(simulator: FaultyGateway, name: str, least: int, most: int) -> None:
    with contextlib.closing(open_request(simulator.base_url, order(f"x [fault:{name}]"))) as connection:
        connection.settimeout(0.1)
        parts: list[bytes] = []
        until = time.monotonic() + 1.6
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                parts.append(connection.recv(4096))
    assert least <= len(dechunked(b"".join(parts))) <= most


def test_the_gzip_bomb_unpacks_to_64_mib_a_member(simulator: FaultyGateway) -> None:
    assert len(gzip_bomb()) < 200_000
    assert len(gzip.decompress(gzip_bomb())) == 64 << 20
    data, _ = raw(simulator, "hostile_gzip_bomb", timeout=10, most=1 << 19)
    assert b"Content-Encoding: gzip" in data
    first = zlib.decompressobj(31).decompress(data.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2], 1 << 20)
    assert first == b" " * (1 << 20)


def test_depths(simulator: FaultyGateway) -> None:
    text = ask(simulator.base_url, order("x [fault:hostile_deep_json]")).body
    assert text.count(b"{") == text.count(b"}") == 2000
    lists = ask(simulator.base_url, order("x [fault:hostile_deep_lists]")).body
    with pytest.raises(RecursionError):
        json.loads(read_events(lists)[0])


def test_many_urls(simulator: FaultyGateway) -> None:
    message = gathered(ask(simulator.base_url, order("x [fault:hostile_many_urls]")).events)
    assert len(set(message.top["media"]["outputs"])) == len(message.content.split("\n")) == 5000


@pytest.mark.parametrize("name", ["hostile_invalid_utf8", "hostile_not_json", "hostile_html", "hostile_binary"])
def test_answers_that_cannot_be_parsed(simulator: FaultyGateway, name: str) -> None:
    answer = ask(simulator.base_url, order(f"x [fault:{name}]"))
    assert answer.status == 200
    with pytest.raises(ValueError):
        json.loads(answer.body.partition(b"\n\n")[0].removeprefix(b"data: "))


def test_values_that_surprise(simulator: FaultyGateway) -> None:
    answer = ask(simulator.base_url, order("x [fault:hostile_wrong_types]"))
    assert len(answer.events) == 15
    assert "\ud800" in gathered(ask(simulator.base_url, order("x [fault:hostile_lone_surrogate]")).events).content
    numbers = ask(simulator.base_url, order("x [fault:hostile_huge_numbers]")).body
    assert b"1e999" in numbers
    with pytest.raises(ValueError, match="digits"):
        json.loads(read_events(numbers)[0])


@pytest.mark.parametrize("name", RAW)
def test_answers_that_are_hardly_http(simulator: FaultyGateway, name: str) -> None:
    data, ending = raw(simulator, name, timeout=5)
    assert ending == "closed"
    assert data == RAW[name][0]


@pytest.mark.parametrize("name", HOSTILE_URLS)
def test_hostile_urls_are_named_as_they_are(simulator: FaultyGateway, name: str) -> None:
    (url,) = ask(simulator.base_url, order(f"x [fault:{name}]")).events[0]["media"]["outputs"]
    assert url == HOSTILE_URLS[name][0]
    markdown = gathered(ask(simulator.base_url, order(f"x [fault:{name}][fault:shape_markdown]")).events)
    assert f"![image]({url})" in markdown.content


def test_every_hostile_answer_is_tried_here() -> None:
    others = "drip endless_waiting gzip_bomb deep_json deep_lists many_urls invalid_utf8 not_json html binary"
    others += " wrong_types lone_surrogate huge_numbers"
    assert {*ENDLESS, *(f"hostile_{name}" for name in others.split())} == set(ANSWERS) == set(family("hostile"))
