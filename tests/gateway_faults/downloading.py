"""`GET` of a result URL: the image, or what its download faults make of it."""

from __future__ import annotations

import gzip

from pack.nanobanana.simulator.connection import Hangup, Peer
from pack.nanobanana.simulator.ledger import Download
from pack.nanobanana.simulator.reply import Headers, head, send_whole

from .hostile import gzip_bomb
from .plan import Stop
from .reply import halt
from .results import DownloadFault, Result
from .state import FaultyState

_SLICE = 65536


def serve(state: FaultyState, peer: Peer, entry: Download, result: Result | None) -> None:
    """Answer one download; raises ClientLeft, Stopping, or Hangup where a fault ended the connection."""
    sent_secrets = tuple(f"{name} was sent" for name in ("Authorization", "Cookie") if entry.header(name) is not None)
    if sent_secrets:
        state.ledger.note(entry, violations=sent_secrets, status=400)
        send_whole(peer, 400, [("Content-Type", "text/plain")], b"A result URL takes no key and no cookie")
        return
    if result is None:
        state.ledger.note(entry, status=404)
        send_whole(peer, 404, [("Content-Type", "text/html")], b"<html><body>Not Found</body></html>")
        return
    fault = state.results.strike(result)
    if fault is None:
        _whole(state, peer, entry, result, [("Content-Type", result.mime)])
    elif fault.name.removeprefix("download_").isdigit():
        status = int(fault.name.removeprefix("download_"))
        state.ledger.note(entry, status=status)
        retry: Headers = [("Retry-After", "1")] if status == 429 else []
        send_whole(peer, status, [("Content-Type", "text/html"), *retry], b"<html><body>no</body></html>")
    elif fault.name.startswith("download_redirect"):
        _redirect(state, peer, entry, result, fault)
    else:
        _faulty(state, peer, entry, result, fault)


def _whole(state: FaultyState, peer: Peer, entry: Download, result: Result, headers: Headers) -> None:
    state.ledger.note(entry, status=200)
    peer.send(head(200, [*headers, ("Content-Length", str(len(result.data)))]))
    _send(peer, result.data, 0)
    state.ledger.note(entry, complete=True, sent_bytes=len(result.data))


def _send(peer: Peer, data: bytes, rate: float) -> None:
    view = memoryview(data)
    step = max(1, int(rate * 0.05)) if rate else _SLICE
    for start in range(0, len(view), step):
        peer.send(view[start : start + step])
        if rate:
            peer.pause(step / rate)


def _redirect(state: FaultyState, peer: Peer, entry: Download, result: Result, fault: DownloadFault) -> None:
    state.ledger.note(entry, status=302)
    location = fault.values.get("url", result.url)
    if fault.name == "download_redirect_relative":
        location = location.removeprefix(state.base_url)
    headers: Headers = [] if fault.name == "download_redirect_nowhere" else [("Location", location)]
    send_whole(peer, 302, headers, b"")


def _faulty(state: FaultyState, peer: Peer, entry: Download, result: Result, fault: DownloadFault) -> None:
    name, data = fault.name.removeprefix("download_"), result.data
    kind: Headers = [("Content-Type", result.mime)]
    length: Headers = [("Content-Length", str(len(data)))]
    half = data[: len(data) // 2]
    if name in ("hang", "close", "reset"):
        halt(peer, Stop({"close": "cut"}.get(name, name), "before_headers"))
    state.ledger.note(entry, status=200)
    if name in ("short_body", "hang_middle", "reset_middle"):
        peer.send(head(200, kind + length))
        _send(peer, half, 0)
        halt(peer, Stop({"short_body": "cut", "hang_middle": "hang", "reset_middle": "reset"}[name], "mid_body"))
    elif name == "short_chunked":
        peer.send(head(200, [*kind, ("Transfer-Encoding", "chunked")]))
        peer.send(b"%x\r\n%s\r\n" % (len(half), half))
        halt(peer, Stop("cut", "mid_body"))
    elif name == "html":
        send_whole(peer, 200, [("Content-Type", "text/html")], b"<html><body>Just a moment...</body></html>")
    elif name == "empty":
        send_whole(peer, 200, kind, b"")
    elif name == "latency":
        peer.pause(float(fault.values["seconds"]))
        _whole(state, peer, entry, result, kind)
    elif name == "slow":
        peer.send(head(200, kind + length))
        _send(peer, data, float(fault.values["bytes_per_second"]))
        state.ledger.note(entry, complete=True)
    elif name == "drip":
        peer.send(head(200, kind + length))
        _send(peer, data, 1 / max(0.001, float(fault.values["seconds"])))
    elif name == "wrong_type":
        _whole(state, peer, entry, result, [("Content-Type", "text/html")])
    elif name == "no_type":
        _whole(state, peer, entry, result, [])
    elif name == "disposition":
        upward = 'attachment; filename="../../../../evil.png"'
        _whole(state, peer, entry, result, [*kind, ("Content-Disposition", upward)])
    elif name == "no_length":
        peer.send(head(200, [*kind, ("Connection", "close")]))
        _send(peer, data, 0)
        state.ledger.note(entry, complete=True)
        peer.close()
        raise Hangup
    elif name == "chunked":
        peer.send(head(200, [*kind, ("Transfer-Encoding", "chunked")]))
        peer.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        state.ledger.note(entry, complete=True)
    elif name == "gzip":
        send_whole(peer, 200, [*kind, ("Content-Encoding", "gzip")], gzip.compress(data, 1))
        state.ledger.note(entry, complete=True)
    else:
        _without_end(peer, kind, data, name)


def _without_end(peer: Peer, kind: Headers, data: bytes, name: str) -> None:
    if name == "huge_length":
        peer.send(head(200, [*kind, ("Content-Length", str(64 << 30))]))
        peer.send(data)
        peer.pause(None)
    bomb = name == "gzip_bomb"
    part = gzip_bomb() if bomb else bytes(_SLICE)
    peer.send(head(200, [*kind, ("Transfer-Encoding", "chunked"), *([("Content-Encoding", "gzip")] * bomb)]))
    if not bomb:
        peer.send(b"%x\r\n%s\r\n" % (len(data), data))
    while True:
        peer.send(b"%x\r\n%s\r\n" % (len(part), part))
