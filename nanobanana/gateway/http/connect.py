"""A TCP connection to the first address of a host that answers, under a deadline and a cancel.

Hosts often have an IPv6 address that their network can't reach: the next address is tried beside the one that is
slow, as RFC 8305 ("happy eyeballs") describes, so that the connect timeout isn't spent on it alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable, Sequence

from ...cancel import CancelToken, Deadline
from .resolver import Resolved

# RFC 8305's recommended delay before the next address is tried, in seconds.
_HEAD_START = 0.25
_POLL_SECONDS = 0.05
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", 0)})

Option = tuple[int, int, int]


def connect(
    addresses: Resolved, options: Iterable[Option] | None, cancel: CancelToken, deadline: Deadline
) -> socket.socket:
    """A connected socket, in blocking mode. Raises OSError (of the address that failed last), `Cancelled`."""
    with _Race(addresses, tuple(options or ())) as race:
        while True:
            cancel.check()
            if deadline.passed:
                raise TimeoutError("connecting timed out")
            race.start_next_when_due()
            winner = race.wait(min(_POLL_SECONDS, deadline.remaining))
            if winner is not None:
                winner.setblocking(True)
                return winner


class _Race:
    """Attempts that run side by side; whatever is still under way at the end is closed."""

    def __init__(self, addresses: Resolved, options: Sequence[Option]) -> None:
        self._left = list(addresses)
        self._options = options
        self._failure: OSError = OSError("the host has no address")
        self._due = 0.0

    def __enter__(self) -> _Race:
        self._selector = selectors.DefaultSelector()
        self._running: set[socket.socket] = set()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._running:
            sock.close()
        self._selector.close()

    def start_next_when_due(self) -> None:
        while self._left and (not self._running or time.monotonic() >= self._due):
            family, address = self._left.pop(0)
            with contextlib.suppress(OSError):
                self._start(family, address)
        if not self._running:
            raise self._failure

    def _start(self, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._failure = error
            raise
        self._running.add(sock)
        try:
            for option in self._options:
                sock.setsockopt(*option)
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
            self._selector.register(sock, selectors.EVENT_WRITE)
        except OSError as error:
            self._drop(sock, error)
            raise
        self._due = time.monotonic() + _HEAD_START

    def wait(self, seconds: float) -> socket.socket | None:
        for key, _ in self._selector.select(seconds):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            self._selector.unregister(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                self._running.remove(sock)
                return sock
            self._drop(sock, OSError(code, os.strerror(code)))
            # It failed: the next one need not wait for its turn.
            self._due = 0.0
        return None

    def _drop(self, sock: socket.socket, failure: OSError) -> None:
        self._failure = failure
        self._running.discard(sock)
        sock.close()
