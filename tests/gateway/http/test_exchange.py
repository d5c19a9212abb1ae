"""Connections: which address is taken, the connect timeout, TLS, proxies from the environment."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import trustme
from gateway_calls import KEY, URL, RunningAsk
from gateway_faults import FaultyGateway
from pack.nanobanana.cancel import Cancelled, CancelToken, Deadline
from pack.nanobanana.errors import ConfigError, GatewayError, StreamBroken, TimedOut, Unreachable
from pack.nanobanana.gateway.answer.types import ImageUrl
from pack.nanobanana.gateway.http import connection
from pack.nanobanana.gateway.http.connection import connect, resolve
from pack.nanobanana.gateway.http.errors import describe
from pack.nanobanana.gateway.http.exchange import is_loopback
from pack.nanobanana.settings.profile import Profile
from servers import Peer, Proxy, RawServer, SocksProxy, closed_port, silent_port
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError


def address(port: int, host: str = "127.0.0.1") -> tuple[socket.AddressFamily, tuple[str, int]]:
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the certificates that are trusted, as behind a company's proxy."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))


def secured(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@contextlib.contextmanager
def secure_simulator(authority: trustme.CA, *names: str) -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0.05, ssl_context=secured(authority, *(names or ("127.0.0.1",)))) as simulator:
        yield simulator


def ask(base_url: str, *, connect_timeout: float = 2.0, total_timeout: float = 5.0) -> RunningAsk:
    return RunningAsk(
        Profile(base_url=base_url, api_key=KEY, connect_timeout=connect_timeout, total_timeout=total_timeout)
    )


class TestConnecting:
    def test_a_slow_address_does_not_hold_up_the_next_one(self) -> None:
        with silent_port() as silent, RawServer(lambda peer: peer.pause(1)) as server:
            began = time.monotonic()
            sock = connect([address(silent), address(server.port)], None, CancelToken(), Deadline(5))
            with sock:
                assert sock.getpeername()[1] == server.port
                assert sock.gettimeout() is None
            assert time.monotonic() - began < 1.5

    def test_a_refused_address_is_left_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_HEAD_START", 4.0)
        with closed_port() as closed, RawServer(lambda peer: peer.pause(1)) as server:
            began = time.monotonic()
            addresses = [address(closed), address(1, "::1"), address(server.port)]
            with connect(addresses, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)], CancelToken(), Deadline(5)) as sock:
                assert sock.getpeername()[1] == server.port
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert time.monotonic() - began < 1.5

    def test_when_all_refuse_that_is_the_error(self) -> None:
        with closed_port() as closed, pytest.raises(ConnectionRefusedError):
            connect([address(closed), address(closed)], None, CancelToken(), Deadline(5))

    def test_no_address_is_an_error(self) -> None:
        with pytest.raises(OSError, match="no address"):
            connect([], None, CancelToken(), Deadline(5))

    def test_the_deadline_holds(self) -> None:
        began = time.monotonic()
        with silent_port() as silent, pytest.raises(TimeoutError):
            connect([address(silent)], None, CancelToken(), Deadline(0.3))
        assert 0.25 < time.monotonic() - began < 1.5

    def test_a_cancel_is_seen_at_once(self) -> None:
        cancel = CancelToken()
        threading.Timer(0.2, cancel.cancel).start()
        began = time.monotonic()
        with silent_port() as silent, pytest.raises(Cancelled):
            connect([address(silent)], None, cancel, Deadline(5))
        assert time.monotonic() - began < 1.5

    def test_a_name_resolves_to_addresses(self) -> None:
        found = resolve("localhost", 80, CancelToken(), Deadline(5))
        assert any(sockaddr[0] in ("127.0.0.1", "::1") for _, sockaddr in found)
        with pytest.raises(socket.gaierror):
            resolve("nowhere.invalid", 80, CancelToken(), Deadline(5))
        with pytest.raises(socket.gaierror):
            resolve("a" * 70 + ".example", 80, CancelToken(), Deadline(5))

    def test_a_look_up_under_a_passed_deadline_or_a_cancel_is_not_waited_for(self) -> None:
        cancel = CancelToken()
        cancel.cancel()
        with pytest.raises(Cancelled):
            resolve("localhost", 80, cancel, Deadline(5))


def loopbacks() -> list[str]:
    """The loopback addresses that this machine has: containers are often without IPv6."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1"]


@pytest.mark.parametrize("host", loopbacks())
def test_a_gateway_by_its_address(host: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", b'{"data":[{"url":"https://cdn.example/1.png"}]}')

    with RawServer(serve, host=host) as server:
        assert ask(server.url).run().images == (ImageUrl(URL),)


def test_the_connect_timeout_holds_in_a_black_hole() -> None:
    with silent_port() as port:
        submission = ask(f"http://127.0.0.1:{port}", connect_timeout=0.5)
        error = submission.fails(TimedOut)
    assert (error.phase, error.billed) == ("connecting", "no")
    assert "took longer than 0.5 seconds" in error.message
    assert 0.4 < submission.seconds < 1.5
    assert submission.sent == []


def silent(peer: Peer) -> None:
    peer.pause(5)


def drip(peer: Peer) -> None:
    # A handshake record that grows by a byte each time keeps every single read from timing out.
    peer.sock.recv(1)
    peer.send(b"\x16\x03\x03\x40\x00")
    for _ in range(50):
        peer.send(b"\x02")
        peer.pause(0.1)


@pytest.mark.parametrize("serve", [silent, drip])
def test_the_connect_timeout_holds_in_a_tls_handshake_that_hangs(serve: Callable[[Peer], None]) -> None:
    with RawServer(serve) as server:
        submission = ask(server.url.replace("http:", "https:"), connect_timeout=0.5)
        error = submission.fails(TimedOut)
    assert (error.phase, error.billed) == ("connecting", "no")
    assert 0.4 < submission.seconds < 1.5
    assert submission.sent == []


def test_https_with_a_certificate_of_the_environments_authority(authority: trustme.CA, trusted: None) -> None:
    with secure_simulator(authority) as simulator:
        answer = ask(simulator.base_url).run()
        assert simulator.ledger.posts[0].header("Authorization") == f"Bearer {KEY}"
    assert len(answer.images) == 1


def test_a_certificate_nobody_vouches_for_is_refused_in_words(authority: trustme.CA) -> None:
    with secure_simulator(authority) as simulator:
        submission = ask(simulator.base_url)
        error = submission.fails(Unreachable)
        assert simulator.ledger.requests == []
    assert "certificate" in error.message
    assert "REQUESTS_CA_BUNDLE" in error.hint
    assert error.billed == "no"
    assert submission.sent == []


def test_a_certificate_of_another_host_is_refused_in_words(authority: trustme.CA, trusted: None) -> None:
    with secure_simulator(authority, "other.example") as simulator:
        error = ask(simulator.base_url).fails(Unreachable)
    assert "certificate of 127.0.0.1" in error.message


def test_a_certificate_that_urllib3_itself_refused_is_told_as_that() -> None:
    class CertificateError(ValueError):
        """As urllib3 before 2 has it."""

    wrapped = requests.exceptions.SSLError(MaxRetryError(HTTPConnectionPool("h"), "/", CertificateError("no match")))
    assert describe(wrapped, "relay.example")[0] == "The certificate of relay.example was not accepted: no match."


def test_https_to_a_plain_server_is_said() -> None:
    def plain(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with RawServer(plain) as server:
        error = ask(server.url.replace("http:", "https:")).fails(Unreachable)
    assert "No secure connection" in error.message
    assert "http:// instead of https://" in error.hint


def test_http_to_a_secure_server_is_an_error(authority: trustme.CA) -> None:
    with secure_simulator(authority) as simulator:
        error = ask(simulator.base_url.replace("https:", "http:")).fails(GatewayError)
    # It hangs up on what it takes for a broken handshake, while the request goes out or behind it.
    assert (type(error), error.billed) in ((StreamBroken, "maybe"), (Unreachable, "no"))


def test_a_cancel_closes_a_secure_connection(authority: trustme.CA, trusted: None) -> None:
    with secure_simulator(authority) as simulator:
        simulator.set_faults("hang_after_headers")
        submission = ask(simulator.base_url, total_timeout=20)
        with submission.started():
            assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].status == 200)
            at = time.monotonic()
            submission.cancel.cancel()
        assert isinstance(submission.error, Cancelled)
        assert submission.ended - at < 1.5
        assert simulator.ledger.wait_for(lambda ledger: ledger.posts[0].closed_early, 1)


def test_a_deadline_ends_a_secure_connection(authority: trustme.CA, trusted: None) -> None:
    with secure_simulator(authority) as simulator:
        simulator.set_faults("hang_before_headers")
        submission = ask(simulator.base_url, total_timeout=0.6)
        error = submission.fails(TimedOut)
    assert error.phase == "waiting"
    assert submission.seconds < 1.6


@pytest.fixture
def gateway() -> Iterator[FaultyGateway]:
    with FaultyGateway(latency=0) as simulator:
        yield simulator


def port_of(simulator: FaultyGateway) -> int:
    return int(simulator.base_url.rpartition(":")[2])


def test_http_goes_through_the_environments_proxy(gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy({"gateway.example": port_of(gateway)}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        answer = ask("http://gateway.example").run()
    assert len(answer.images) == 1
    assert proxy.seen == ["POST http://gateway.example/v1/chat/completions"]


def test_https_goes_through_a_tunnel_that_never_sees_the_key(
    authority: trustme.CA, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        secure_simulator(authority, "gateway.example") as simulator,
        Proxy({"gateway.example": port_of(simulator)}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        ask("https://gateway.example").run()
        assert proxy.seen == ["CONNECT gateway.example:443"]
        assert simulator.ledger.posts[0].header("Authorization") == f"Bearer {KEY}"
        assert simulator.ledger.posts[0].header("Proxy-Authorization") is None


def test_a_cancel_closes_a_tunnel(authority: trustme.CA, trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        secure_simulator(authority, "gateway.example") as simulator,
        Proxy({"gateway.example": port_of(simulator)}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        simulator.set_faults("hang_before_headers")
        submission = ask("https://gateway.example", total_timeout=20)
        with submission.started():
            assert simulator.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].body_received)
            at = time.monotonic()
            submission.cancel.cancel()
        assert isinstance(submission.error, Cancelled)
        assert submission.ended - at < 1.5
        assert simulator.ledger.wait_for(lambda ledger: ledger.posts[0].closed_early, 1)


def test_no_proxy_is_honoured(gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as nobody:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert len(ask(gateway.base_url).run().images) == 1


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_computer_is_never_reached_through_a_proxy(
    variable: str, gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as nobody:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{nobody}")
        for base_url in (gateway.base_url, gateway.base_url.replace("127.0.0.1", "localhost")):
            assert len(ask(base_url).run().images) == 1


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_computer(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


def test_a_proxy_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as nobody:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody}")
        submission = ask("http://gateway.example")
        error = submission.fails(Unreachable)
    assert "proxy" in error.message
    assert "HTTP_PROXY" in error.hint
    assert error.billed == "no"
    assert submission.sent == []


def test_a_proxy_that_refuses_is_said_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(refuse="407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        error = ask("https://gateway.example").fails(Unreachable)
    assert "it answered 407" in error.message
    assert error.billed == "no"


def drip_the_tunnel(peer: Peer) -> None:
    # Every byte is in time, all of them together are not.
    peer.head()
    for byte in b"HTTP/1.1 200 Connection established\r\n" + b"X: 1\r\n" * 100:
        peer.send(bytes([byte]))
        peer.pause(0.1)


@pytest.mark.parametrize("serve", [silent, drip_the_tunnel])
def test_a_proxy_that_hangs_is_bounded_by_the_connect_timeout(
    serve: Callable[[Peer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(serve) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        submission = ask("https://gateway.example", connect_timeout=0.5)
        error = submission.fails(TimedOut)
    assert (error.phase, error.billed) == ("connecting", "no")
    assert submission.seconds < 1.6


@pytest.mark.parametrize("proxy", ["http:///nowhere", "http://proxy.example:port", "gopher://proxy.example:70"])
def test_a_malformed_proxy_is_a_wrong_setting(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    submission = ask("http://gateway.example")
    error = submission.fails(ConfigError)
    assert "address of the proxy" in error.message
    assert submission.sent == []


def test_a_missing_file_of_certificates_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    submission = ask("https://gateway.example")
    error = submission.fails(ConfigError)
    assert str(tmp_path / "gone.pem") in error.message
    assert "REQUESTS_CA_BUNDLE" in error.message
    assert submission.sent == []


def test_a_missing_library_for_socks_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("all_proxy", "socks5://proxy.example:1080")
    error = ask("http://gateway.example").fails(ConfigError)
    assert "PySocks" in error.message


def test_a_socks_proxy(gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with SocksProxy({"gateway.example": port_of(gateway)}) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        assert len(ask("http://gateway.example").run().images) == 1
        assert proxy.seen == ["gateway.example:80"]


def test_cancel_and_deadline_hold_behind_a_socks_proxy(gateway: FaultyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.set_faults("hang_after_headers")
    with SocksProxy({"gateway.example": port_of(gateway)}) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        submission = ask("http://gateway.example", total_timeout=20)
        with submission.started():
            assert gateway.ledger.wait_for(lambda ledger: ledger.posts and ledger.posts[0].status == 200)
            at = time.monotonic()
            submission.cancel.cancel()
        assert isinstance(submission.error, Cancelled)
        assert submission.ended - at < 1.5
        late = ask("http://gateway.example", total_timeout=0.5)
        assert late.fails(TimedOut).phase in ("waiting", "streaming")
        assert late.seconds < 1.5


def test_a_socks_proxy_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as nobody:
        monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{nobody}")
        error = ask("http://gateway.example").fails(Unreachable)
    assert "proxy" in error.message
    assert error.billed == "no"
