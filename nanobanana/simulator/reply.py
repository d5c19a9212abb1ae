"""HTTP answers written by hand: what is sent, and when, is the simulator's own choice."""

from __future__ import annotations

import http
from collections.abc import Iterable

from .connection import Peer

Headers = list[tuple[str, str]]


def head(status: int, headers: Headers) -> bytes:
    """A status line and headers, with the blank line behind them."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def send_whole(peer: Peer, status: int, headers: Headers, body: bytes) -> None:
    """One answer of known length."""
    peer.send(head(status, [*headers, ("Content-Length", str(len(body)))]))
    peer.send(body)


def send_stream(peer: Peer, headers: Headers, events: Iterable[tuple[float, bytes]]) -> None:
    """A 200 of server-sent events, each as many seconds after the one before as it says."""
    stream: Headers = [("Content-Type", "text/event-stream; charset=utf-8"), ("Transfer-Encoding", "chunked")]
    peer.send(head(200, [*headers, *stream]))
    for delay, data in events:
        if delay:
            peer.pause(delay)
        peer.send(b"%x\r\n%s\r\n" % (len(data), data))
    peer.send(b"0\r\n\r\n")
