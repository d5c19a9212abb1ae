"""Names to addresses under a deadline: the system's own look-up can't be interrupted, so it runs beside us."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from ...cancel import CancelToken, Deadline

_POLL_SECONDS = 0.05
Resolved = list[tuple[socket.AddressFamily, tuple[str, int]]]


LookUp = Callable[[str, int], Resolved]


def system_look_up(host: str, port: int) -> Resolved:
    """What the system says. Raises OSError, UnicodeError for what can be no name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


def resolve(
    host: str, port: int, cancel: CancelToken, deadline: Deadline, look_up: LookUp = system_look_up
) -> Resolved:
    """(family, socket address) pairs of `host`, in the system's order of preference.

    Raises `socket.gaierror` where the name has none, `TimeoutError` at the deadline, `Cancelled`.
    """
    answer: queue.SimpleQueue[Resolved | OSError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put(look_up(host, port))
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else socket.gaierror(f"not a host name: {host}"))

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
