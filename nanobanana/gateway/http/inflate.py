"""An answer's bytes as they arrive, unpacked in bounded pieces."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ...errors import BadAnswer

if TYPE_CHECKING:
    from requests import Response
    from urllib3 import HTTPResponse

_READ_PIECE = 65536
_INFLATE_PIECE = 1 << 20


def arriving(response: Response) -> Iterator[bytes]:
    """The body's bytes as they arrive, decompressed. Each piece is at most 1 MiB, so no bomb unpacks at once.

    Raises what the socket raises, `BadAnswer` for a compression that wasn't offered.
    """
    raw: HTTPResponse = response.raw
    inflate = _inflater(response.headers.get("Content-Encoding", "").strip().lower())
    while True:
        data = raw.read1(_READ_PIECE, decode_content=False)
        if not data:
            return
        yield from inflate(data)


def _inflater(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in ("", "identity"):
        return lambda data: iter((data,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        words = f"The answer came compressed in a way nobody asked for ({encoding[:20]})."
        raise BadAnswer(words, billed="maybe")
    return _Inflater().pieces


class _Inflater:
    """gzip, of one member or several, and zlib: told apart by the header, which is what 32 + 15 stands for."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(47)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._unpacker.eof:
                self._unpacker = zlib.decompressobj(47)
            try:
                piece = self._unpacker.decompress(data, _INFLATE_PIECE)
            except zlib.error as error:
                raise BadAnswer("The compressed answer is damaged.", billed="maybe") from error
            # Behind the end of one member the next one's bytes are "unused", so a bomb of many counts as one.
            data = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            if piece:
                yield piece


def plain_headers(response: Response) -> Mapping[str, str]:
    """The answer's headers with lower-case names."""
    return {name.lower(): value for name, value in response.headers.items()}


def ends_with_connection(response: Response) -> bool:
    """Whether only the connection's end tells where the body ends, so that a body cut short looks whole."""
    headers = plain_headers(response)
    return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()
