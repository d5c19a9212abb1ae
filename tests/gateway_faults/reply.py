"""HTTP answers written by hand, so that every byte and every cut is the fault's own choice."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from pack.nanobanana.simulator.connection import Hangup, Peer
from pack.nanobanana.simulator.reply import Headers, head

from .framing import Framing, Piece
from .plan import Stop


def halt(peer: Peer, stop: Stop) -> None:
    """End the connection as `stop` says; always raises."""
    if stop.action == "hang":
        peer.pause(None)
    if stop.action == "reset":
        peer.reset()
    else:
        peer.close()
    raise Hangup(f"{stop.action} {stop.point}")


def cut_offset(stop: Stop, pieces: list[Piece], needles: Iterable[bytes]) -> int:
    """How many bytes of the answer's body go out before `stop`; `needles` are the image's possible texts."""
    ends: list[int] = []
    total = 0
    for piece in pieces:
        total += len(piece.data)
        ends.append(total)
    bearing = [number for number, piece in enumerate(pieces) if piece.bearing] or [len(pieces) - 1]
    first = ends[bearing[0]] - len(pieces[bearing[0]].data) if pieces else 0
    last = ends[bearing[-1]] if pieces else 0
    if stop.point == "after_bytes":
        return stop.bytes
    if stop.point == "after_first_event":
        return next((end for end, piece in zip(ends, pieces, strict=True) if piece.event), total)
    if stop.point == "inside_event":
        return last - len(pieces[bearing[-1]].data) // 2 if pieces else 0
    if stop.point == "inside_url":
        body = b"".join(piece.data for piece in pieces)
        for needle in needles:
            at = body.find(needle)
            if needle and at >= 0:
                return at + len(needle) // 2
        return (first + last) // 2
    if stop.point == "after_url":
        return last
    if stop.point == "before_done":
        return ends[-2] if len(ends) > 1 else total
    return 0


def truncated(pieces: list[Piece], length: int) -> list[Piece]:
    """The pieces' first `length` bytes."""
    result: list[Piece] = []
    for piece in pieces:
        if length <= 0:
            break
        result.append(Piece(piece.data[:length], piece.bearing, piece.delay))
        length -= len(piece.data)
    return result


def send_body(peer: Peer, headers: Headers, framing: Framing, pieces: list[Piece], length: int | None) -> None:
    """A 200 and its body; with `length` only so many of its bytes, and nothing that would end it in good order."""
    if framing.joined:
        pieces = [Piece(b"".join(piece.data for piece in pieces), bearing=True)]
    headers = list(headers)
    if framing.content_type:
        headers.append(("Content-Type", framing.content_type))
    if framing.compressed:
        headers.append(("Content-Encoding", "gzip"))
    if framing.transfer == "length":
        headers.append(("Content-Length", str(sum(len(data) for data, _ in _coded(framing, pieces, ended=True)))))
    elif framing.transfer == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    else:
        headers.append(("Connection", "close"))
    peer.send(head(200, headers))
    sent = pieces if length is None else truncated(pieces, length)
    for data, delay in _coded(framing, sent, ended=length is None):
        if delay:
            peer.pause(delay)
        for part in [data[n : n + 1] for n in range(len(data))] if framing.byte_by_byte else [data]:
            peer.send(_chunk(part) if framing.transfer == "chunked" else part)
    if length is None and framing.transfer == "chunked":
        peer.send(b"0\r\n\r\n")


def send_endless(peer: Peer, headers: Headers, pieces: Iterator[Piece]) -> None:
    """A 200 whose body goes on for as long as the client takes it."""
    peer.send(head(200, [*headers, ("Transfer-Encoding", "chunked")]))
    for piece in pieces:
        if piece.delay:
            peer.pause(piece.delay)
        peer.send(_chunk(piece.data))
    peer.send(b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _coded(framing: Framing, pieces: list[Piece], *, ended: bool) -> Iterator[tuple[bytes, float]]:
    if not framing.compressed:
        yield from ((piece.data, piece.delay) for piece in pieces)
        return
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece, last in chain(zip(pieces, [False] * len(pieces), strict=True), [(Piece(b""), True)]):
        if last:
            if ended:
                yield packer.flush(), 0.0
        else:
            yield packer.compress(piece.data) + packer.flush(zlib.Z_SYNC_FLUSH), piece.delay
