"""Fetching a result over real sockets: tries, redirects, addresses, caps, no credentials."""

from __future__ import annotations

import gzip
import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import DownloadFailed
from pack.nanobanana.gateway.download import Downloader
from pack.nanobanana.gateway.http.connection import LookUp, Resolved, system_look_up
from pack.nanobanana.gateway.http.exchange import authorization
from pack.nanobanana.gateway.http.url_policy import DownloadPolicy
from pack.nanobanana.gateway.retry import Backoff
from pack.nanobanana.imaging.headers import is_cut_short, sniff
from pack.nanobanana.progress import Progress
from PIL import Image
from servers import Peer, Proxy, RawServer, closed_port, silent_port


def encoded(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


PNG = encoded()


class Fetching:
    """A downloader of a gateway at `home`, with short pauses; `reports` of what it said."""

    def __init__(
        self,
        home: str,
        *,
        private_hosts: tuple[str, ...] = (),
        most_bytes: int = 1 << 27,
        look_up: LookUp = system_look_up,
        at_home: Any = None,
        **patience: float,
    ) -> None:
        seconds = patience.get("seconds", 5.0)
        idle = patience.get("idle_seconds", 2.0)
        self.cancel = CancelToken()
        self.reports: list[Progress] = []
        self.downloader = Downloader(
            DownloadPolicy.for_gateway(home, private_hosts),
            is_image=lambda data: sniff(data) is not None,
            is_whole=lambda data: not is_cut_short(data, sniff(data) or ""),
            connect_timeout=patience.get("connect_timeout", 1.0),
            seconds=seconds,
            backoff=Backoff(random=lambda: 0.0, scale=patience.get("scale", 0.002), idle_seconds=idle),
            most_bytes=most_bytes,
            look_up=look_up,
            at_home=at_home,
        )

    def fetch(self, url: str) -> bytes:
        return self.downloader.fetch(url, cancel=self.cancel, report=self.reports.append)

    def fails(self, url: str) -> DownloadFailed:
        with pytest.raises(DownloadFailed) as caught:
            self.fetch(url)
        assert caught.value.url == url
        assert caught.value.billed == "yes"
        assert url[:500] in caught.value.message
        return caught.value


def image(peer: Peer) -> None:
    peer.request()
    peer.answer("200 OK", PNG)


def test_the_bytes_come_unchanged_and_with_progress() -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes(300_000)

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        for start in range(0, len(data), 100_000):
            peer.send(data[start : start + 100_000])
            time.sleep(0.03)

    with RawServer(serve) as server:
        fetching = Fetching(server.url)
        assert fetching.fetch(server.url + "/1.png") == data
    steps = [report.done for report in fetching.reports if report.phase == "downloading"]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == len(data)
    assert len(steps) > 3


def test_no_credential_goes_with_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login eve password from-netrc\ndefault login eve password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[tuple[str, dict[str, str]]] = []

    def serve(peer: Peer) -> None:
        line, headers, _ = peer.request()
        seen.append((line, headers))
        if "/first" in line:
            peer.answer("302 Found", b"", Location="/second.png", Set_Cookie="session=1; Path=/")
        else:
            peer.answer("200 OK", PNG)

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/first.png") == PNG
    assert [line.split()[1] for line, _ in seen] == ["/first.png", "/second.png"]
    for _, headers in seen:
        assert {"authorization", "cookie", "proxy-authorization", "referer"} & headers.keys() == set()


@pytest.mark.parametrize("status", [403, 404, 408, 425, 429, 500, 502, 503, 504, 520, 524])
def test_a_status_that_may_pass_is_tried_five_times(status: int) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer(f"{status} No", b"no")

    with RawServer(serve) as server:
        fetching = Fetching(server.url)
        error = fetching.fails(server.url + "/1.png")
        assert server.connections == 5
    assert f"answered {status}" in error.message
    assert "at no cost" in error.hint
    pauses = [report for report in fetching.reports if report.phase == "pausing"]
    assert [(report.done, report.total) for report in pauses] == [(1, 5), (2, 5), (3, 5), (4, 5)]
    assert all(str(status) in report.text for report in pauses)


@pytest.mark.parametrize("status", [400, 401, 405, 410, 451, 301])
def test_a_status_that_will_not_pass_is_tried_once(status: int) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer(f"{status} No", b"no")

    with RawServer(serve) as server:
        Fetching(server.url).fails(server.url + "/1.png")
        assert server.connections == 1


def cut(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG[:500])


def cut_chunked(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.chunk(PNG[:500])


def cut_without_length(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + PNG[:500])


def reset(peer: Peer) -> None:
    cut(peer)
    peer.reset()


def page(peer: Peer) -> None:
    peer.answer("200 OK", b"<html>Just a moment</html>")


def empty(peer: Peer) -> None:
    peer.answer("200 OK", b"")


def garbage(peer: Peer) -> None:
    peer.send(b"\x00\x01\x02 what\r\n\r\n")


def brotli(peer: Peer) -> None:
    peer.answer("200 OK", PNG, Content_Encoding="br")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (cut, "before the image was whole"),
        (cut_chunked, "before the image was whole"),
        (cut_without_length, "before the image was whole"),
        (reset, "before the image was whole"),
        (page, "something that is no image"),
        (empty, "nothing"),
        (garbage, "not send an HTTP"),
        (brotli, "wasn't asked for"),
    ],
)
def test_a_body_that_is_short_or_no_image_is_tried_again(fault, words: str) -> None:
    count = 0

    def twice(peer: Peer) -> None:
        nonlocal count
        peer.request()
        count += 1
        fault(peer) if count <= 2 else peer.answer("200 OK", PNG)

    with RawServer(twice) as server:
        fetching = Fetching(server.url)
        assert fetching.fetch(server.url + "/1.png") == PNG
        assert server.connections == 3
    reasons = [report.text for report in fetching.reports if report.phase == "pausing"]
    assert len(reasons) == 2
    assert words in reasons[0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_whole_image_without_a_length_is_taken(kind: str) -> None:
    data = encoded(kind)

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data)

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/1") == data
        assert server.connections == 1


def test_a_silent_server_is_left_after_the_idle_time_and_tried_again() -> None:
    count = 0

    def serve(peer: Peer) -> None:
        nonlocal count
        peer.request()
        count += 1
        if count == 1:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG[:500])
            peer.pause(5)
        elif count == 2:
            peer.pause(5)
        else:
            peer.answer("200 OK", PNG)

    with RawServer(serve) as server:
        fetching = Fetching(server.url, idle_seconds=0.3)
        began = time.monotonic()
        assert fetching.fetch(server.url + "/1.png") == PNG
        assert 0.5 < time.monotonic() - began < 1.5
    assert any("sent nothing for 0.3 seconds" in report.text for report in fetching.reports)


def test_a_server_that_drips_is_left_at_the_total_time() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n\x89PNG\r\n\x1a\n")
        while not peer.stopping.is_set():
            peer.send(b"a")
            peer.pause(0.05)

    with RawServer(serve) as server:
        began = time.monotonic()
        error = Fetching(server.url, seconds=0.6).fails(server.url + "/1.png")
        assert 0.5 < time.monotonic() - began < 1.2
        assert server.connections == 1
    assert "longer than 0.6 seconds" in error.message


def test_a_body_that_ends_with_the_connection_is_not_taken_for_whole_when_time_is_up() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nGIF89a" + bytes(100))
        peer.pause(5)

    with RawServer(serve) as server:
        error = Fetching(server.url, seconds=0.4).fails(server.url + "/1.gif")
    assert "longer than 0.4 seconds" in error.message


@pytest.mark.parametrize("head", [b"Content-Length: 200000\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_a_image_above_the_cap_is_given_up_at_the_cap(head: bytes) -> None:
    sent = 0

    def serve(peer: Peer) -> None:
        nonlocal sent
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        data = b"\x89PNG\r\n\x1a\n" + bytes(8000)
        for _ in range(1000):
            peer.chunk(data) if b"chunked" in head else peer.send(data)
            sent += len(data)

    with RawServer(serve) as server:
        error = Fetching(server.url, most_bytes=100_000).fails(server.url + "/1.png")
        assert server.connections == 1
    assert "MB" in error.message


def test_a_gzip_bomb_is_given_up_at_the_cap() -> None:
    bomb = gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(32 << 20))

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", bomb, Content_Encoding="gzip")

    with RawServer(serve) as server:
        error = Fetching(server.url, most_bytes=1 << 20).fails(server.url + "/1.png")
    assert "more than 1 MB" in error.message


def test_gzip_that_nobody_asked_for_is_unpacked() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", gzip.compress(PNG), Content_Encoding="gzip")

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/1.png") == PNG


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_redirect_is_followed(status: int, absolute: bool) -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if line.startswith("GET /1.png"):
            peer.answer(f"{status} Moved", b"", Location=f"{server.url if absolute else ''}/there/2.png?x=1")
        elif line.startswith("GET /there/2.png?x=1"):
            peer.answer("200 OK", PNG)

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/1.png") == PNG


def test_a_redirects_address_is_utf_8_and_encoded() -> None:
    lines: list[str] = []

    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        lines.append(line)
        if "first" in line:
            peer.send("HTTP/1.1 302 Found\r\nLocation: /im\u00e4ge \u732b.png\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            peer.answer("200 OK", PNG)

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/first.png") == PNG
    assert lines[1] == "GET /im%C3%A4ge%20%E7%8C%AB.png HTTP/1.1"


def test_five_redirects_and_no_more() -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        left = int(line.split()[1].strip("/"))
        peer.answer("302 Found", b"", Location=f"/{left - 1}") if left else peer.answer("200 OK", PNG)

    with RawServer(serve) as server:
        assert Fetching(server.url).fetch(server.url + "/5") == PNG
        assert server.connections == 6
        error = Fetching(server.url).fails(server.url + "/6")
        assert server.connections == 12
    assert "more than 5 times" in error.message


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "begins with file:"),
        ("ftp://example.com/1.png", "begins with ftp:"),
        ("http://169.254.169.254/latest/", "link-local"),
        ("http://10.0.0.1/1.png", "private address"),
        ("http://[::ffff:10.0.0.1]/1.png", "private address"),
        ("//127.0.0.1:9/1.png", "private address"),
        ("http://localhost:9/1.png", "this computer"),
        ("http://u:p@example.com/1.png", "user name"),
    ],
)
def test_a_redirects_target_is_checked_like_the_url(location: str, words: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("302 Found", b"", Location=location)

    with RawServer(serve) as server:
        error = Fetching(server.url).fails(server.url + "/1.png")
        assert server.connections == 1
    assert words in error.message
    assert "not allowed" in error.message


def test_another_server_of_this_machine_is_not_asked() -> None:
    with RawServer(image) as home, RawServer(image) as neighbour:
        error = Fetching(home.url).fails(neighbour.url + "/1.png")
        assert neighbour.connections == 0
        assert "private address" in error.message
        port = urlsplit(neighbour.url).port
        assert Fetching(home.url, private_hosts=("127.0.0.1",)).fetch(neighbour.url + "/1.png") == PNG
        assert Fetching(home.url, private_hosts=(f"127.0.0.1:{port}",)).fetch(neighbour.url + "/1.png") == PNG
        assert neighbour.connections == 2


def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to() -> None:
    """A name server that answers anew each time (DNS rebinding) finds no second look-up."""
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    asked: list[str] = []

    def look_up(host: str, port: int) -> Resolved:
        asked.append(host)
        return [(socket.AF_INET, (next(answers), port))]

    with RawServer(image) as server:
        fetching = Fetching("https://gateway.example", look_up=look_up, connect_timeout=0.2, seconds=0.3)
        fetching.fails(f"http://rebinding.example:{server.port}/1.png")
        # Each try looks up once: the first leads to the public address, the next is refused for its private one.
        assert server.connections == 0
        assert 1 <= len(asked) <= 2


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    def look_up(host: str, port: int) -> Resolved:
        return [(socket.AF_INET, ("93.184.216.34", port)), (socket.AF_INET, ("127.0.0.1", port))]

    with RawServer(image) as server:
        fetching = Fetching("https://gateway.example", look_up=look_up)
        error = fetching.fails(f"http://innocent.example:{server.port}/1.png")
        assert server.connections == 0
    assert "private address (127.0.0.1)" in error.message


def test_nothing_answers_at_the_address() -> None:
    with closed_port() as port:
        error = Fetching(f"http://127.0.0.1:{port}").fails(f"http://127.0.0.1:{port}/1.png")
    assert "refused the connection" in error.message
    with silent_port() as port:
        error = Fetching(f"http://127.0.0.1:{port}", connect_timeout=0.1).fails(f"http://127.0.0.1:{port}/1.png")
    assert "0.1 seconds" in error.message


@pytest.mark.parametrize("where", ["waiting", "streaming", "without length", "pausing", "connecting"])
def test_a_cancel_ends_a_download_at_once(where: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        if where == "pausing":
            peer.answer("404 Not Found")
        if where == "streaming":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + PNG[:500])
        if where == "without length":
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nGIF89a" + bytes(500))
        peer.pause(5)

    with RawServer(serve) as server, silent_port() as silent:
        home = server.url if where != "connecting" else f"http://127.0.0.1:{silent}"
        fetching = Fetching(home, seconds=20, idle_seconds=20, connect_timeout=20, scale=1)
        threading.Timer(0.3, fetching.cancel.cancel).start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            fetching.fetch(home + "/1.png")
        assert 0.25 < time.monotonic() - began < 1.5


@pytest.fixture
def secure_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    """A server over https that redirects to http."""
    import ssl

    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(peer: Peer) -> None:
        with context.wrap_socket(peer.sock, server_side=True) as secured:
            inner = Peer(secured, peer.stopping)
            line, _, _ = inner.request()
            if "/1.png" in line:
                inner.answer("200 OK", PNG)
            else:
                inner.answer("302 Found", b"", Location=f"http://127.0.0.1:{server.port}/1.png")

    with RawServer(serve) as server:
        yield server


def test_https_is_fetched_and_never_left_for_http(secure_home: RawServer) -> None:
    home = secure_home.url.replace("http:", "https:")
    assert Fetching(home).fetch(home + "/1.png") == PNG
    error = Fetching(home).fails(home + "/2.png")
    assert "from https to http" in error.message


def test_a_download_goes_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def serve(peer: Peer) -> None:
        seen.append(peer.request()[1])
        peer.answer("200 OK", PNG)

    with RawServer(serve) as server, Proxy({"cdn.example": server.port}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        fetching = Fetching("https://gateway.example")
        assert fetching.fetch("http://cdn.example/1.png") == PNG
        assert proxy.seen == ["GET http://cdn.example/1.png"]
        # Whatever the proxy could reach, these are not asked of it.
        for url in (f"http://127.0.0.1:{server.port}/1.png", "http://localhost/1.png", "http://2130706433/1.png"):
            fetching.fails(url)
        assert len(proxy.seen) == 1
    assert "authorization" not in seen[0]


def test_a_redirects_endless_body_is_not_read() -> None:
    def serve(peer: Peer) -> None:
        line, _, _ = peer.request()
        if "first" not in line:
            peer.answer("200 OK", PNG)
            return
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /second.png\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not peer.stopping.is_set():
            peer.chunk(bytes(1 << 20))

    with RawServer(serve) as server:
        began = time.monotonic()
        assert Fetching(server.url).fetch(server.url + "/first.png") == PNG
        assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "http://[::1",
        "//",
        "http://a.example:" + "9" * 5_000,
        "\xff\xfe/x.png",
        "http://a b/",
        "http://\x00/",
    ],
)
def test_a_malformed_redirect_is_a_failed_download_and_nothing_else(location: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))

    with RawServer(serve) as server:
        Fetching(server.url).fails(server.url + "/first.png")


@given(st.text(max_size=40) | st.from_regex(r"https?://[\[\]a-z0-9:.@%/?#-]{0,30}", fullmatch=True))
def test_no_address_raises_anything_but_a_failed_download(address: str) -> None:
    fetching = Fetching("https://gateway.example", look_up=nobody)
    with pytest.raises(DownloadFailed):
        fetching.fetch(address)


def nobody(host: str, port: int) -> Resolved:
    raise OSError(f"no {host}:{port}")


def test_the_key_goes_to_the_gateways_own_origin_if_the_profile_says_so_and_nowhere_else() -> None:
    seen: list[dict[str, str]] = []

    def elsewhere(peer: Peer) -> None:
        seen.append(peer.request()[1])
        peer.answer("200 OK", PNG)

    def home(peer: Peer) -> None:
        line, headers, _ = peer.request()
        seen.append(headers)
        if "/moved" in line:
            peer.answer("302 Found", Location=f"{other.url}/x.png")
        else:
            peer.answer("200 OK", PNG)

    with RawServer(elsewhere) as other, RawServer(home) as server:
        at_home = authorization("sk-0123456789abcdef", {"x-access": "hush"})
        with_key = Fetching(server.url, private_hosts=("127.0.0.1",), at_home=at_home)
        assert with_key.fetch(f"{server.url}/a.png") == PNG
        assert (seen[0]["authorization"], seen[0]["x-access"]) == ("Bearer sk-0123456789abcdef", "hush")
        assert with_key.fetch(f"{server.url}/moved") == PNG
        assert with_key.fetch(f"{other.url}/b.png") == PNG
        assert ["authorization" in one or "x-access" in one for one in seen] == [True, True, False, False]
        assert Fetching(server.url).fetch(f"{server.url}/a.png") == PNG
        assert "authorization" not in seen[-1]
