"""One call over a real socket: what goes out, how an answer comes in, and what each way of breaking off means."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from engines import wait_until
from gateway_calls import KEY, URL, RunningAsk, event
from pack.nanobanana.cancel import Cancelled, CancelToken
from pack.nanobanana.errors import (
    AuthFailed,
    BadAnswer,
    GatewayError,
    HistoryError,
    NotFound,
    ServerFailed,
    StreamBroken,
    TimedOut,
    TooLarge,
    Unreachable,
)
from pack.nanobanana.gateway.answer.types import ImageData, ImageUrl
from pack.nanobanana.gateway.client import Gateway
from pack.nanobanana.gateway.retry import Backoff
from pack.nanobanana.settings.profile import Profile
from servers import Peer, RawServer, closed_port

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSING = STREAM + b"Connection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def profile(server: RawServer, **changes: Any) -> Profile:
    values: dict[str, Any] = {"api_key": KEY, "connect_timeout": 2.0, "total_timeout": 5.0}
    return Profile(base_url=server.url, **{**values, **changes})


def test_the_request_as_it_goes_out() -> None:
    requests: list[tuple[str, dict[str, str], bytes]] = []

    def serve(peer: Peer) -> None:
        requests.append(peer.request())
        peer.answer("200 OK", event() + DONE, content_type="text/event-stream")

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server))
        answer = submission.run()
    assert answer.images == (ImageUrl(URL),)
    assert not answer.truncated
    line, headers, body = requests[0]
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["accept"] == "text/event-stream, application/json"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers
    assert json.loads(body)["messages"] == [{"role": "user", "content": "a cat"}]
    assert len(submission.sent) == 1
    assert submission.phases == ["connecting", "uploading", "waiting"]


def test_without_a_key_no_authorization_goes_out(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password from-netrc\n")
    seen: list[dict[str, str]] = []

    def serve(peer: Peer) -> None:
        seen.append(peer.request()[1])
        peer.answer("401 Unauthorized", b'{"error":{"message":"No API key"}}')

    with RawServer(serve) as server:
        error = RunningAsk(profile(server, api_key="")).fails(AuthFailed)
    assert "authorization" not in seen[0]
    assert "no key is set" in error.message
    assert "Settings" in error.hint


def test_netrc_does_not_touch_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc-of-another-name"
    for file in (tmp_path / ".netrc", netrc):
        file.write_text("machine 127.0.0.1 login eve password from-netrc\ndefault login eve password from-netrc\n")
        file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str] = []

    def serve(peer: Peer) -> None:
        seen.append(peer.request()[1]["authorization"])
        peer.answer("200 OK", event() + DONE)

    with RawServer(serve) as server:
        RunningAsk(profile(server)).run()
    assert seen == [f"Bearer {KEY}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_post_follows_no_redirect(status: int) -> None:
    with RawServer(lambda peer: peer.answer("200 OK")) as other:

        def serve(peer: Peer) -> None:
            peer.request()
            peer.answer(f"{status} Moved", b"", Location=f"{other.url}/v1/chat/completions")

        with RawServer(serve) as server:
            error = RunningAsk(profile(server)).fails(NotFound)
        assert server.connections == 1
        assert other.connections == 0
    assert error.billed == "no"
    assert other.url in error.message
    assert "base URL" in error.hint


def test_nothing_is_sent_when_the_journal_cannot_note_it() -> None:
    received: list[bytes] = []

    def serve(peer: Peer) -> None:
        received.append(peer.head())

    def full_disk() -> None:
        raise HistoryError("The disk is full.")

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server), on_sending=full_disk)
        submission.fails(HistoryError)
    assert received in ([b""], [])


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("close", "closing"), ("close", "chunked"), ("close", "length"), ("reset", "closing"), ("reset", "chunked")],
)
def test_an_answer_cut_before_a_image_may_have_been_billed(ending: str, kind: str) -> None:
    head = {"closing": CLOSING, "chunked": CHUNKED, "length": STREAM + b"Content-Length: 5000\r\n\r\n"}[kind]
    part = event()[:60]

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(head)
        peer.chunk(part) if kind == "chunked" else peer.send(part)
        time.sleep(0.05)
        if ending == "reset":
            peer.reset()

    with RawServer(serve) as server:
        error = RunningAsk(profile(server)).fails(GatewayError)
    assert isinstance(error, (StreamBroken, BadAnswer))
    assert error.billed == "maybe"


@pytest.mark.parametrize("head", [CLOSING, CHUNKED])
def test_a_image_that_came_before_the_cut_is_not_given_up(head: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(head)
        peer.chunk(event()) if head is CHUNKED else peer.send(event())
        time.sleep(0.05)
        peer.reset()

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server))
        answer = submission.run()
    assert answer.images == (ImageUrl(URL),)
    assert answer.truncated
    assert [url for _, url in submission.urls] == [URL]


class TestWithUrllib3Before22:
    """Its responses have no `read1`; ComfyUI's requirements allow it."""

    @pytest.fixture(autouse=True)
    def older(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in urllib3.response.HTTPResponse.__mro__[:2]:
            monkeypatch.delattr(kind, "read1", raising=False)
        assert not hasattr(urllib3.response.HTTPResponse, "read1")

    @pytest.mark.parametrize("kind", ["closing", "chunked", "length"])
    def test_an_answer_is_read_as_it_arrives(self, kind: str) -> None:
        read_early: list[bool] = []
        whole = event() + b"data: [DONE]\n\n"
        head = {"closing": CLOSING, "chunked": CHUNKED, "length": STREAM + b"Content-Length: %d\r\n\r\n" % len(whole)}

        def serve(peer: Peer) -> None:
            send = peer.chunk if kind == "chunked" else peer.send
            peer.request()
            peer.send(head[kind])
            send(event())
            read_early.append(told.wait(5))
            send(whole[len(event()) :])
            if kind == "chunked":
                peer.chunk(b"")

        told = threading.Event()
        with RawServer(serve) as server:
            submission = RunningAsk(profile(server))
            with submission.started():
                end = time.monotonic() + 5
                while not submission.urls and time.monotonic() < end:
                    time.sleep(0.005)
                if submission.urls:
                    told.set()
        assert submission.result is not None, submission.error
        assert submission.result.images == (ImageUrl(URL),)
        assert not submission.result.truncated
        assert read_early == [True]
        assert server.connections == 1

    @pytest.mark.parametrize("kind", ["chunked", "length"])
    def test_a_cut_is_seen(self, kind: str) -> None:
        head = {"chunked": CHUNKED, "length": STREAM + b"Content-Length: 5000\r\n\r\n"}[kind]

        def serve(peer: Peer) -> None:
            peer.request()
            peer.send(head)
            peer.chunk(b": alive\n\n") if kind == "chunked" else peer.send(b": alive\n\n")

        with RawServer(serve) as server:
            error = RunningAsk(profile(server)).fails(StreamBroken)
        assert error.billed == "maybe"
        assert server.connections == 1


def test_a_connection_that_ends_before_any_answer_may_have_been_billed() -> None:
    with RawServer(lambda peer: peer.request() and None) as server:
        error = RunningAsk(profile(server)).fails(StreamBroken)
    assert error.billed == "maybe"
    assert "before its answer began" in error.message


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03\x01garbage\r\n\r\n",
        b"HTTP/1.1 abc What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
    ],
)
def test_what_is_no_http_is_said_to_be_none(answer: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.wait_for_close(2)

    with RawServer(serve) as server:
        error = RunningAsk(profile(server)).fails(BadAnswer)
    assert error.billed == "maybe"
    assert "not send an HTTP" in error.message


def test_events_are_delivered_when_their_last_byte_is_there() -> None:
    arrived: list[bool] = []

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for number in range(5):
            data = event(f"https://cdn.example/{number}.png")
            for part in (data[:40], data[40:-2]):
                peer.chunk(part)
                time.sleep(0.02)
            early = len(submission.urls) > number
            peer.chunk(data[-2:])
            # Nothing more is sent until the client has seen this one.
            end = time.monotonic() + 5
            while len(submission.urls) <= number and time.monotonic() < end:
                time.sleep(0.002)
            arrived.append(len(submission.urls) == number + 1 and not early)
        peer.chunk(DONE)
        peer.send(b"0\r\n\r\n")

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server))
        answer = submission.run()
    assert len(answer.images) == 5
    assert arrived == [True] * 5


def test_a_stream_that_is_silent_behind_its_image_is_ended() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        peer.chunk(event())
        peer.wait_for_close(10)

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server, total_timeout=20.0), backoff=Backoff(after_image_seconds=0.3))
        answer = submission.run()
        assert answer.images == (ImageUrl(URL),)
        assert 0.2 < submission.seconds < 2


@pytest.mark.parametrize(
    "ping", [b": PING\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n", b'data: {"choices":[]}\n\n', b"\n"]
)
def test_signs_of_life_behind_an_image_do_not_keep_the_call_waiting(ping: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        peer.chunk(event())
        while not peer.stopping.is_set():
            peer.chunk(ping)
            peer.pause(0.05)

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server, total_timeout=20.0), backoff=Backoff(after_image_seconds=0.4))
        assert submission.run().images == (ImageUrl(URL),)
        assert submission.seconds < 5


def test_a_bare_address_is_noted_when_the_text_has_ended_and_not_waited_for_for_ever() -> None:
    address = "https://cdn.example/result/7"
    pieces = [
        {"index": 0, "delta": {"content": address[:15]}},
        {"index": 0, "delta": {"content": address[15:]}},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for piece in pieces:
            peer.chunk(b"data: " + json.dumps({"choices": [piece]}).encode() + b"\n\n")
        noted.append(wait_until(lambda: [url for _, url in submission.urls] == [address], 5))
        peer.wait_for_close(10)

    noted: list[bool] = []
    with RawServer(serve) as server:
        submission = RunningAsk(profile(server, total_timeout=20.0), backoff=Backoff(after_image_seconds=0.3))
        assert [image.url for image in submission.run().images if isinstance(image, ImageUrl)] == [address]
        assert submission.seconds < 5
    assert noted == [True]


def test_a_stream_that_goes_on_behind_its_image_is_read_to_its_end() -> None:
    thought = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for number in range(6):
            peer.chunk(event() if not number else thought)
            peer.pause(0.1)
        data = event() + event("https://cdn.example/2.png") + DONE
        peer.chunk(data)

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server), backoff=Backoff(after_image_seconds=0.4))
        assert len(submission.run().images) == 2


def test_the_stream_ends_at_done_even_when_the_connection_stays_open() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        peer.chunk(event() + DONE)
        assert peer.wait_for_close(3)

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server))
        submission.run()
        assert submission.seconds < 2
    assert server.errors == []


def test_gzip_of_several_members_is_read_to_its_end() -> None:
    data = event() + DONE
    packed = gzip.compress(data[:50]) + gzip.compress(data[50:])

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", packed, content_type="text/event-stream", Content_Encoding="gzip")

    with RawServer(serve) as server:
        assert RunningAsk(profile(server)).run().images == (ImageUrl(URL),)


@pytest.mark.parametrize(
    ("encoding", "body", "words"), [("br", b"\x0b\x02", "compressed in a way"), ("gzip", b"no gzip", "damaged")]
)
def test_a_compression_that_cannot_be_read_is_said(encoding: str, body: bytes, words: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", body, Content_Encoding=encoding)

    with RawServer(serve) as server:
        error = RunningAsk(profile(server)).fails(BadAnswer)
    assert words in error.message
    assert error.billed == "maybe"


def test_upload_progress_follows_what_has_left() -> None:
    def serve(peer: Peer) -> None:
        peer.head()
        while peer.sock.recv(65536):
            time.sleep(0.003)

    with RawServer(serve, receive_buffer=65536) as server:
        submission = RunningAsk(profile(server), image_bytes=9 << 20)
        with submission.started():
            submission.wait_for_phase("waiting", 10)
            submission.cancel.cancel()
    steps = [(at, report) for at, report in submission.reports if report.phase == "uploading"]
    assert steps[0][1].done == 0
    assert steps[-1][1].done < steps[-1][1].total == pytest.approx(12 << 20, rel=0.01)
    assert [report.done for _, report in steps] == sorted(report.done for _, report in steps)
    # In the middle of the time about half of it has left: it is the wire that is reported, not a buffer.
    middle = (steps[0][0] + steps[-1][0]) / 2
    halfway = max(report.done for at, report in steps if at <= middle)
    assert 0.25 < halfway / steps[-1][1].total < 0.85


@pytest.mark.parametrize(
    ("status", "kind"), [("413 Too Large", TooLarge), ("401 Unauthorized", AuthFailed), ("502 Bad", ServerFailed)]
)
def test_a_status_that_comes_while_the_body_goes_out_is_read(status: str, kind: type[GatewayError]) -> None:
    def serve(peer: Peer) -> None:
        peer.head()
        peer.answer(status, b'{"error":{"message":"no thanks"}}')
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_for_close(5)

    with RawServer(serve) as server:
        error = RunningAsk(profile(server), image_bytes=8 << 20).fails(kind)
    # What the system took of the body by then may have arrived: a 502 says nothing of it.
    assert error.billed == "no" or kind is ServerFailed
    assert "no thanks" in error.message


def test_a_reset_during_the_upload_was_not_billed() -> None:
    def serve(peer: Peer) -> None:
        peer.head()
        peer.answer("413 Too Large", b'{"error":{"message":"no thanks"}}')
        peer.reset()

    with RawServer(serve) as server:
        # The reset may overtake the status: either is told as what it is, and neither as a bill.
        error = RunningAsk(profile(server), image_bytes=8 << 20).fails(GatewayError)
    assert isinstance(error, (TooLarge, Unreachable))
    assert error.billed == "no"


def test_a_refused_connection_is_told_with_host_and_port() -> None:
    with closed_port() as port:
        error = RunningAsk(Profile(base_url=f"http://127.0.0.1:{port}", connect_timeout=2)).fails(Unreachable)
    assert f"127.0.0.1:{port} refused the connection" in error.message
    assert error.billed == "no"


def test_a_host_that_does_not_exist_is_told() -> None:
    submission = RunningAsk(Profile(base_url="http://nowhere.invalid", connect_timeout=2))
    error = submission.fails(Unreachable)
    assert "no host named nowhere.invalid" in error.message
    assert submission.sent == []


Silence = Callable[[Peer], None]


def never_read(peer: Peer) -> None:
    peer.pause(10)


def never_answer(peer: Peer) -> None:
    peer.request()
    peer.pause(10)


def never_finish(peer: Peer) -> None:
    peer.request()
    peer.send(CHUNKED)
    while not peer.stopping.is_set():
        peer.chunk(b": PING\n\n")
        peer.pause(0.05)


def drip_the_head(peer: Peer) -> None:
    peer.request()
    for byte in CHUNKED:
        peer.send(bytes([byte]))
        peer.pause(0.2)


def hold_back_the_end(peer: Peer) -> None:
    peer.request()
    peer.send(CLOSING + event()[:50])
    peer.pause(10)


def flood(peer: Peer) -> None:
    """Bytes without a pause: there is always one more to read, also behind the end."""
    peer.request()
    peer.send(CHUNKED)
    while not peer.stopping.is_set():
        peer.chunk(b": PING\n\n" * 8192)


@pytest.mark.parametrize(
    ("serve", "phase", "billed"),
    [
        (flood, "streaming", "maybe"),
        (never_read, "uploading", "no"),
        (never_answer, "waiting", "maybe"),
        (drip_the_head, "waiting", "maybe"),
        (never_finish, "streaming", "maybe"),
        (hold_back_the_end, "streaming", "maybe"),
    ],
)
def test_the_total_timeout_holds_in_every_phase(serve: Silence, phase: str, billed: str) -> None:
    with RawServer(serve, receive_buffer=4096) as server:
        submission = RunningAsk(profile(server, total_timeout=0.6), image_bytes=8 << 20 if phase == "uploading" else 0)
        error = submission.fails(TimedOut)
    assert (error.phase, error.billed) == (phase, billed)
    assert "within 0.6 seconds" in error.message
    # Honoured to within a second.
    assert 0.5 < submission.seconds < 1.6


@pytest.mark.parametrize("serve", [never_read, never_answer, drip_the_head, never_finish, flood, hold_back_the_end])
def test_a_cancel_ends_every_phase_and_closes_the_connection(serve: Silence) -> None:
    closed: list[float] = []

    def quietly(peer: Peer) -> None:
        with contextlib.suppress(OSError):
            serve(peer)

    def watched(peer: Peer) -> None:
        threading.Thread(target=quietly, args=(peer,), daemon=True).start()
        time.sleep(0.4)
        peer.sock.setblocking(True)
        while True:
            try:
                # Slowly, as a gateway that is busy: a close must not wait behind the bytes that nobody read.
                if not peer.sock.recv(4096):
                    break
                time.sleep(0.01)
            except OSError:
                break
        closed.append(time.monotonic())

    with RawServer(watched, receive_buffer=4096 if serve is never_read else 0) as server:
        submission = RunningAsk(profile(server, total_timeout=20), image_bytes=8 << 20 if serve is never_read else 0)
        with submission.started():
            time.sleep(0.3)
            at = time.monotonic()
            submission.cancel.cancel()
        assert isinstance(submission.error, Cancelled)
        assert submission.ended - at < 1.5
        end = time.monotonic() + 5
        while not closed and time.monotonic() < end:
            time.sleep(0.01)
    assert closed
    assert closed[0] - at < 4.0  # behind the unread bytes it would take 20 s


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "203 Other"])
def test_every_good_status_may_bring_a_image(status: str) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer(status, event() + DONE)

    with RawServer(serve) as server:
        assert RunningAsk(profile(server)).run().images == (ImageUrl(URL),)


@pytest.mark.slow
def test_a_status_is_told_although_its_body_never_ends() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 500\r\n\r\n<title>upstream is gone</title>")
        peer.pause(20)

    with RawServer(serve) as server:
        submission = RunningAsk(profile(server, total_timeout=30))
        error = submission.fails(ServerFailed)
    assert error.status == 502
    assert "upstream is gone" in error.message
    assert submission.seconds < 3


def test_inline_images_come_through() -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(300)
    import base64

    body = json.dumps({"data": [{"b64_json": base64.b64encode(png).decode()}]}).encode()

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", body, content_type="application/json")

    with RawServer(serve) as server:
        assert RunningAsk(profile(server)).run().images == (ImageData(png),)


def test_a_call_leaves_no_thread_behind() -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer("200 OK", event() + DONE)

    with RawServer(serve) as server:
        before = set(threading.enumerate())
        RunningAsk(profile(server)).run()
        end = time.monotonic() + 2
        while (left := set(threading.enumerate()) - before) and time.monotonic() < end:
            time.sleep(0.01)
    assert not left


def open_sockets() -> int:
    # By type: `isinstance` would ask every object for its class, and some of other libraries warn when answer.
    return sum(type(one) is socket.socket and one.fileno() >= 0 for one in gc.get_objects())


@pytest.mark.parametrize("answer", [b"200 OK", b"500 Failed", b""])
def test_calls_leave_no_connection_open(answer: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        if answer:
            # Nothing says that the connection ends: it would be kept for the next request.
            body = event() + DONE
            peer.send(b"HTTP/1.1 " + answer + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            peer.wait_for_close(5)

    with RawServer(serve) as server:
        before = open_sockets()
        for _ in range(5):
            with contextlib.suppress(GatewayError):
                RunningAsk(profile(server)).run()
        # Those of the server are closed by its threads.
        end = time.monotonic() + 2
        while open_sockets() > before and time.monotonic() < end:
            time.sleep(0.02)
        assert open_sockets() <= before


def endless_redirect(peer: Peer) -> None:
    """A redirect whose body never ends, and is a bomb."""
    peer.request()
    peer.send(
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(bytes(1 << 24)) + packer.flush()
    while not peer.stopping.is_set():
        peer.chunk(bomb)


def test_a_redirects_body_is_not_read_to_its_end() -> None:
    with RawServer(endless_redirect) as server:
        gateway = Gateway(profile(server))
        began = time.monotonic()
        error = RunningAsk(profile(server)).fails(NotFound)
        assert error.billed == "no"
        status, _, body = gateway.models(cancel=CancelToken())
        assert status == 302
        assert len(body) <= 65_536
        assert time.monotonic() - began < 5.0
