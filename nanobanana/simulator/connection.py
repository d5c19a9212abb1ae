"""One client's socket, as the simulator's faults need it: exact bytes, pauses that notice a hang-up, resets."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


class ClientLeft(ConnectionError):
    """The client closed its connection before its answer was complete."""


class Stopping(Exception):
    """The simulator is being stopped."""


class Hangup(Exception):
    """The simulator itself has ended this connection, as a fault asked."""


class Peer:
    """A client's connection. Every method may raise ClientLeft, and Stopping once `stopping` is set."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self.sent = 0

    def send(self, data: bytes | memoryview) -> None:
        """Send all of `data`."""
        if self._stopping.is_set():
            raise Stopping
        try:
            self._sock.sendall(data)
        except OSError as error:
            if self._stopping.is_set():
                raise Stopping from error
            raise ClientLeft(str(error)) from error
        self.sent += len(data)

    def pause(self, seconds: float | None) -> None:
        """Wait `seconds`, or with None until the client leaves."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if self._stopping.is_set():
                raise Stopping
            left = _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())
            if self.gone():
                raise ClientLeft("closed while waiting")
            if left <= 0:
                return
            self._stopping.wait(left)

    def gone(self) -> bool:
        """Whether the client has closed its side."""
        try:
            return _peer_closed(self._sock)
        except (OSError, ValueError):
            return True

    def shrink_receive_buffer(self) -> None:
        """Let little of an upload wait in the kernel, so that slow reading slows the sender."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def close(self) -> None:
        """End the connection in good order (FIN)."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        with contextlib.suppress(OSError):
            # l_onoff=1, l_linger=0: close() throws unsent data away and sends RST instead of FIN.
            layout = "hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii"
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, 0))
            # detach, since the handler's file objects would keep close() from closing.
            socket.close(self._sock.detach())


def _peer_closed(sock: socket.socket) -> bool:
    if hasattr(select, "poll") and hasattr(select, "POLLRDHUP"):
        # RDHUP shows a hang-up even behind bytes that nobody has read yet.
        poller = select.poll()
        poller.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        return bool(poller.poll(0))
    if isinstance(sock, ssl.SSLSocket):
        return False
    if not select.select([sock], [], [], 0)[0]:
        return False
    return sock.recv(1, socket.MSG_PEEK) == b""


def read_body(read: Callable[[int], bytes], length: int, pause: Callable[[float], None], rate: float) -> bytes:
    """Read `length` bytes, at `rate` bytes a second (0: as fast as they come); fewer where the client stops early."""
    parts: list[bytes] = []
    left = length
    while left > 0:
        data = read(min(left, max(1, int(rate * 0.05)) if rate else 1 << 20))
        if not data:
            break
        parts.append(data)
        left -= len(data)
        if rate and left:
            pause(len(data) / rate)
    return b"".join(parts)
