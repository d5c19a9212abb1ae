"""A gateway that does nothing but wait and answer: what it takes itself is known to the millisecond.

`running()` starts it in a process of its own, so that it shares no interpreter with what is measured. A prompt that
holds `[latency:2]` is answered after two seconds. Times are those of the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

_LATENCY = re.compile(rb"\[latency:([0-9.]+)\]")
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Served:
    """One request. `began`: its first byte came; `ended`: the answer's last byte was written, or the client was gone.

    `closed`: when the client hung up before the answer, else None. `body`: bytes of its body.
    """

    method: str
    began: float
    ended: float
    closed: float | None
    body: int


class RunningGateway:
    """The gateway at `base_url`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._opener = build_opener(ProxyHandler({}))

    def served(self, since: float = 0.0) -> list[Served]:
        """What began after `since`, oldest first."""
        with self._opener.open(f"{self.base_url}/ledger", timeout=10) as response:
            return [one for one in (Served(**entry) for entry in json.load(response)) if one.began >= since]


@contextlib.contextmanager
def running(images: Path) -> Generator[RunningGateway]:
    """The gateway over the PNG files `1K.png` and `0.5K.png` in `images`; ended with the block."""
    command = [sys.executable, str(Path(__file__).resolve()), str(images)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield RunningGateway(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait()


def busy_seconds(served: Iterable[Served]) -> float:
    """How long the gateway had something to do: the union of its requests' times."""
    total, until = 0.0, 0.0
    for one in sorted(served, key=lambda one: one.began):
        total += max(0.0, one.ended - max(one.began, until))
        until = max(until, one.ended)
    return total


class _Gateway:
    def __init__(self, images: Path) -> None:
        self._images = {name: (images / f"{name}.png").read_bytes() for name in ("1K", "0.5K")}
        self._ledger: list[dict[str, Any]] = []
        self.base_url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            first = await reader.readexactly(1)
            began = time.monotonic()
            head = first + await reader.readuntil(b"\r\n\r\n")
            method, path = head.split(b" ", 2)[:2]
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length.group(1))) if length else b""
            if path == b"/ledger":
                await self._answer(writer, "application/json", json.dumps(self._ledger).encode())
            else:
                closed = None
                if method == b"POST":
                    closed = await self._post(reader, writer, body)
                else:
                    await self._answer(writer, "image/png", self._images["0.5K" if b"0.5K" in path else "1K"])
                entry = Served(method.decode(), began, time.monotonic(), closed, len(body))
                self._ledger.append(vars(entry))
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> float | None:
        latency = _LATENCY.search(body[-100_000:]) or _LATENCY.search(body[:100_000])
        if latency:
            # The client sends nothing more: a read that ends before the time is up is its hanging up.
            gone = asyncio.ensure_future(reader.read(1))
            done, _ = await asyncio.wait({gone}, timeout=float(latency.group(1)))
            gone.cancel()
            if done:
                return time.monotonic()
        name = "0.5K" if b"0.5K" in body[:200] else "1K"
        url = f"{self.base_url}/result/{len(self._ledger)}-{time.monotonic_ns()}-{name}.png"
        choice = {"index": 0, "delta": {"role": "assistant", "content": url}, "finish_reason": "stop"}
        chunk = {"id": "chatcmpl_bench", "object": "chat.completion.chunk", "created": 1, "model": "NanoBananaPro-1K"}
        text = json.dumps({**chunk, "choices": [choice], "media": {"outputs": [url]}})
        await self._answer(writer, "text/event-stream", f"data: {text}\n\ndata: [DONE]\n\n".encode())
        return None

    async def _answer(self, writer: asyncio.StreamWriter, kind: str, data: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()


async def _main(images: Path) -> None:
    gateway = _Gateway(images)
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0, limit=1 << 20, backlog=256)
    gateway.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(gateway.base_url, flush=True)
    # The end of our own input is the end of whoever started us.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
