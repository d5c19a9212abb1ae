"""A name to a connected socket, under a deadline and a cancel."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import cast

from ...cancel import CancelToken, Deadline

# RFC 8305's recommended delay before the next address is tried, in seconds.
_HEAD_START = 0.25
_POLL_SECONDS = 0.05
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", 0)})

Resolved = list[tuple[socket.AddressFamily, tuple[str, int]]]
LookUp = Callable[[str, int], Resolved]
Option = tuple[int, int, int]


def system_look_up(host: str, port: int) -> Resolved:
    """What the system says. Raises OSError, and UnicodeError for what can't be a name."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in infos]  # type: ignore[misc]


def resolve(
    host: str, port: int, cancel: CancelToken, deadline: Deadline, look_up: LookUp = system_look_up
) -> Resolved:
    """(family, socket address) pairs of `host`, in the system's order of preference.

    Raises `socket.gaierror` if the name has none, `TimeoutError` at the deadline, `Cancelled`.
    """
    answer: queue.SimpleQueue[Resolved | OSError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put(look_up(host, port))
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else socket.gaierror(f"not a host name: {host}"))

    # The system's look-up can't be interrupted.
    threading.Thread(target=run, name="nanobanana-resolve", daemon=True).start()
    while True:
        cancel.check()
        try:
            result = answer.get(timeout=min(_POLL_SECONDS, deadline.remaining) or 0.001)
        except queue.Empty:
            if deadline.passed:
                raise TimeoutError(f"looking up {host} timed out") from None
            continue
        if isinstance(result, OSError):
            raise result
        return result


def connect(
    addresses: Resolved, options: Iterable[Option] | None, cancel: CancelToken, deadline: Deadline
) -> socket.socket:
    """A socket, in blocking mode, connected to the first address that answers.

    Hosts often have an IPv6 address that their network can't reach: the next address is tried beside one that is
    slow, as RFC 8305 ("happy eyeballs") describes. Raises OSError (of the address that failed last), `Cancelled`.
    """
    waiting, running, due = list(addresses), set[socket.socket](), 0.0
    failure = OSError("the host has no address")
    winner: socket.socket | None = None
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                cancel.check()
                if deadline.passed:
                    raise TimeoutError("connecting timed out")
                if waiting and (not running or time.monotonic() >= due):
                    try:
                        sock = _begin(*waiting.pop(0), options or ())
                        running.add(sock)
                        selector.register(sock, selectors.EVENT_WRITE)
                        due = time.monotonic() + _HEAD_START
                    except OSError as error:
                        failure = error
                        continue
                if not running:
                    raise failure
                for key, _ in selector.select(min(_POLL_SECONDS, deadline.remaining)):
                    sock = cast("socket.socket", key.fileobj)
                    selector.unregister(sock)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        winner = sock
                        winner.setblocking(True)
                        return winner
                    # It failed: the next one need not wait for its turn.
                    failure, due = OSError(code, os.strerror(code)), 0.0
                    running.remove(sock)
                    sock.close()
        finally:
            for sock in running:
                if sock is not winner:
                    sock.close()


def _begin(family: socket.AddressFamily, address: tuple[str, int], options: Iterable[Option]) -> socket.socket:
    """A socket that has begun to connect. Raises OSError."""
    with contextlib.ExitStack() as failing:
        sock = failing.enter_context(socket.socket(family, socket.SOCK_STREAM))
        for option in options:
            sock.setsockopt(*option)
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code not in _UNDER_WAY:
            raise OSError(code, os.strerror(code))
        failing.pop_all()
    return sock
