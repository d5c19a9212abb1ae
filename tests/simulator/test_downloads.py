from __future__ import annotations

import contextlib
import gzip
import socket
import time
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from gateway_faults import FaultyGateway, family
from simulator.talk import Answer, ask, drain, get, opened, order

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulator() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.0) as running:
        yield running


def result_url(simulator: FaultyGateway, *faults: str) -> str:
    answer = ask(simulator.base_url, order("x" + "".join(f"[fault:{fault}]" for fault in faults)))
    assert answer.status == 200, answer.body
    return answer.events[0]["media"]["outputs"][0]


def open_download(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    connection.settimeout(0.3)
    return connection


def raw_download(url: str, most: int = 1 << 24, timeout: float = 0.3) -> tuple[bytes, str]:
    with contextlib.closing(open_download(url)) as connection:
        connection.settimeout(timeout)
        return drain(connection, most)


def is_image(answer: Answer) -> bool:
    return answer.status == 200 and opened(answer.body).size == (688, 384)


def test_a_plain_download(simulator: FaultyGateway) -> None:
    url = result_url(simulator)
    answer = get(url)
    assert is_image(answer)
    assert answer.headers["content-type"] == "image/jpeg"
    assert simulator.ledger.wait_for(lambda ledger: ledger.downloads[-1].finished)
    entry = simulator.ledger.downloads[-1]
    assert (entry.status, entry.complete, entry.violations) == (200, True, ())


@pytest.mark.parametrize("name", ["Authorization", "Cookie"])
def test_keys_and_cookies_are_refused_and_noted(simulator: FaultyGateway, name: str) -> None:
    url = result_url(simulator)
    simulator.ledger.clear()
    assert get(url, {name: "secret"}).status == 400
    assert simulator.ledger.violations == [f"{urlsplit(url).path}: {name} was sent"]


def test_an_unknown_result_is_not_there(simulator: FaultyGateway) -> None:
    assert get(f"{simulator.base_url}/output/38fa5bcb-d055-40b0-9f04-5ef259c9131c.png").status == 404
    assert get(f"{simulator.base_url}/output/../../etc/passwd").status == 404


STATUSES = [name for name in family("download") if name.removeprefix("download_").isdigit()]


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_strikes_so_many_times(simulator: FaultyGateway, name: str) -> None:
    url = result_url(simulator, f"{name}:2")
    status = int(name.removeprefix("download_"))
    assert [get(url).status for _ in range(4)] == [status, status, 200, 200]


def test_faults_strike_one_after_the_other(simulator: FaultyGateway) -> None:
    url = result_url(simulator, "download_404:2", "download_html", "download_503")
    answers = [get(url) for _ in range(5)]
    assert [answer.status for answer in answers] == [404, 404, 200, 503, 200]
    assert answers[2].body.startswith(b"<html>")
    assert is_image(answers[4])


@pytest.mark.parametrize("name", ["download_short_body", "download_short_chunked"])
def test_a_short_body_once(simulator: FaultyGateway, name: str) -> None:
    url = result_url(simulator, name)
    first, second = get(url), get(url)
    assert not first.complete
    assert 0 < len(first.body) == len(second.body) // 2
    assert is_image(second)


@pytest.mark.parametrize(
    ("name", "ending", "some"),
    [
        ("download_hang", "silent", False),
        ("download_hang_middle", "silent", True),
        ("download_close", "closed", False),
        ("download_reset", "reset", False),
        ("download_reset_middle", "reset", None),
        ("download_huge_length", "silent", True),
    ],
)
def test_connections_that_fail(simulator: FaultyGateway, name: str, ending: str, some: bool | None) -> None:
    data, seen = raw_download(result_url(simulator, name), timeout=0.5 if ending == "silent" else 10)
    assert seen == ending
    assert some in (None, bool(data))
    if name == "download_huge_length":
        assert b"Content-Length: 68719476736" in data


def test_a_download_given_up_is_noted(simulator: FaultyGateway) -> None:
    url = result_url(simulator, "download_hang")
    connection = open_download(url)
    simulator.ledger.wait_for(lambda ledger: ledger.downloads[-1].path == urlsplit(url).path)
    left = time.monotonic()
    connection.close()
    assert simulator.ledger.wait_for(lambda ledger: ledger.downloads[-1].closed_early)
    assert (simulator.ledger.downloads[-1].closed_early or 0) - left < 1


def test_bodies_that_are_no_image(simulator: FaultyGateway) -> None:
    assert b"Just a moment" in get(result_url(simulator, "download_html")).body
    empty = get(result_url(simulator, "download_empty"))
    assert (empty.status, empty.body) == (200, b"")


def test_headers_that_mislead(simulator: FaultyGateway) -> None:
    wrong = get(result_url(simulator, "download_wrong_type"))
    assert is_image(wrong)
    assert wrong.headers["content-type"] == "text/html"
    bare = get(result_url(simulator, "download_no_type"))
    assert is_image(bare)
    assert "content-type" not in bare.headers
    named = get(result_url(simulator, "download_disposition"))
    assert is_image(named)
    assert "../../evil.png" in named.headers["content-disposition"]


@pytest.mark.parametrize("name", ["download_chunked", "download_no_length"])
def test_other_transfers_bring_the_image(simulator: FaultyGateway, name: str) -> None:
    answer = get(result_url(simulator, name))
    assert is_image(answer)
    assert "content-length" not in answer.headers


def test_gzip_around_a_image(simulator: FaultyGateway) -> None:
    data, _ = raw_download(result_url(simulator, "download_gzip"), timeout=1)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert opened(gzip.decompress(body)).size == (688, 384)


def test_slow_downloads(simulator: FaultyGateway) -> None:
    url = result_url(simulator, "download_slow:50000")
    started = time.monotonic()
    answer = get(url)
    assert is_image(answer)
    assert time.monotonic() - started > len(answer.body) / 50000 * 0.8
    url = result_url(simulator, "download_latency:0.4")
    started = time.monotonic()
    assert is_image(get(url))
    assert time.monotonic() - started > 0.4
    with contextlib.closing(open_download(result_url(simulator, "download_drip:0.1"))) as connection:
        started, received = time.monotonic(), [len(connection.recv(4096)) for _ in range(5)]
    assert sum(received[1:]) < 20
    assert time.monotonic() - started > 0.25


@pytest.mark.parametrize("name", ["download_endless", "download_gzip_bomb"])
def test_downloads_without_end(simulator: FaultyGateway, name: str) -> None:
    data, ending = raw_download(result_url(simulator, name), most=4 << 20, timeout=10)
    assert ending == "more"
    assert len(data) >= 4 << 20
    if name == "download_gzip_bomb":
        body = data.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2]
        assert len(zlib.decompressobj(31).decompress(body, 1 << 24)) == 1 << 24
    assert simulator.ledger.wait_for(lambda ledger: ledger.downloads[-1].closed_early)


LOCATIONS = {
    "download_redirect_file": "file:///etc/passwd",
    "download_redirect_private": "http://10.0.0.1/picture.png",
    "download_redirect_link_local": "http://169.254.169.254/latest/meta-data/",
    "download_redirect_mapped": "http://[::ffff:10.0.0.1]/picture.png",
    "download_redirect_userinfo": "http://user:secret@10.0.0.1/p.png",
    "download_redirect_ftp": "ftp://example.com/picture.png",
    "download_redirect_http": "http://example.invalid/picture.png",
    "download_redirect_to:0:http://127.0.0.1:9/x": "http://127.0.0.1:9/x",
    "download_redirect_nowhere": None,
}


@pytest.mark.parametrize("fault", LOCATIONS)
def test_redirects_elsewhere(simulator: FaultyGateway, fault: str) -> None:
    answer = get(result_url(simulator, fault))
    assert (answer.status, answer.headers.get("location")) == (302, LOCATIONS[fault])


@pytest.mark.parametrize(("name", "times"), [("download_redirect", 1), ("download_redirect_chain:3", 3)])
def test_redirects_to_the_image(simulator: FaultyGateway, name: str, times: int) -> None:
    url = result_url(simulator, name)
    answers = [get(url) for _ in range(times + 1)]
    assert [answer.headers.get("location") for answer in answers] == [url] * times + [None]
    assert is_image(answers[-1])


def test_a_redirect_loop_and_a_relative_one(simulator: FaultyGateway) -> None:
    url = result_url(simulator, "download_redirect_loop")
    assert [get(url).headers["location"] for _ in range(8)] == [url] * 8
    url = result_url(simulator, "download_redirect_relative")
    assert get(url).headers["location"] == urlsplit(url).path
    assert is_image(get(url))


@pytest.mark.parametrize("name", family("url"))
def test_every_form_of_a_url_leads_to_the_image(simulator: FaultyGateway, name: str) -> None:
    url = result_url(simulator, name)
    assert is_image(get(url))
    assert {
        "url_query": "?Expires=" in url,
        "url_no_extension": url[-37] == "/",
        "url_wrong_extension": url.endswith(".png"),
        "url_parentheses": url.endswith("-(1).jpeg"),
        "url_escaped": "%E7%8C%AB%20" in url,
        "url_long": len(url) > 2900,
        "url_fragment": url.endswith("#top"),
        "url_upper_scheme": url.startswith("HTTP://"),
        "url_other_case": url.endswith(".JPEG"),
    }[name]
