"""A gateway behind a relay: it takes requests, counts what it bills, and does with each what a test says."""

from __future__ import annotations

import base64
import json
import threading

from engines import png_of
from servers import Peer, RawServer

PNG = png_of(3_000)
_URL = "data:image/png;base64," + base64.b64encode(PNG).decode("ascii")
_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "NanoBanana2-0.5K"}

# What it may do once it has taken a request. All but the last two are billed by a gateway of the worst kind.
ENDINGS = ("answers", "hangs up", "resets", "breaks off", "says nothing", "limits", "refuses")
BILLED = frozenset({"answers", "hangs up", "resets", "breaks off", "says nothing"})


class Upstream:
    """`ending`: one of ENDINGS. `posts`, `bills`: how many so far."""

    def __init__(self) -> None:
        self.ending = "answers"
        self.posts = 0
        self.bills = 0
        self._lock = threading.Lock()
        self._server = RawServer(self._serve)

    def __enter__(self) -> Upstream:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def port(self) -> int:
        return self._server.port

    def _serve(self, peer: Peer) -> None:
        line, headers, body = peer.request()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = _chunked(peer)
        if not line.startswith("POST"):
            peer.answer("404 Not Found", b'{"error":{"message":"no such route"}}', content_type="application/json")
            return
        with self._lock:
            self.posts += 1
            self.bills += self.ending in BILLED
        if self.ending == "answers":
            self._answer(peer, streamed=b'"stream": true' in body or b'"stream":true' in body)
        elif self.ending == "resets":
            peer.reset()
        elif self.ending == "breaks off":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.chunk(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n')
            peer.pause(0.3)
            peer.reset()
        elif self.ending == "says nothing":
            peer.pause(8.0)
        elif self.ending == "limits":
            error = {"error": {"message": "slow down", "code": "rate_limit_exceeded", "type": "rate_limit_error"}}
            peer.answer("429 Too Many Requests", json.dumps(error).encode(), content_type="application/json")
        elif self.ending == "refuses":
            error = {
                "error": {"message": "model is missing", "code": "invalid_request", "type": "invalid_request_error"}
            }
            peer.answer("400 Bad Request", json.dumps(error).encode(), content_type="application/json")

    def _answer(self, peer: Peer, *, streamed: bool) -> None:
        text = f"![image]({_URL})"
        if not streamed:
            whole = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            body = json.dumps({**_CHUNK, "object": "chat.completion", "choices": [whole]}).encode()
            peer.answer("200 OK", body, content_type="application/json")
            return
        part = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for choice in (part, end):
            peer.chunk(b"data: %s\n\n" % json.dumps({**_CHUNK, "choices": [choice]}).encode())
        peer.chunk(b"data: [DONE]\n\n")
        peer.send(b"0\r\n\r\n")


def _chunked(peer: Peer) -> bytes:
    """A request's body in chunks."""
    body = b""
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += peer.sock.recv(1)
        size = int(line.split(b";")[0], 16)
        piece = b""
        while len(piece) < size + 2:
            piece += peer.sock.recv(size + 2 - len(piece))
        if not size:
            return body
        body += piece[:-2]
