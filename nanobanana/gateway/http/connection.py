"""A `requests.Session` whose connections are opened and watched by an `Exchange`: from a name to a connected socket."""

# The base of the connection class is only known once urllib3 is imported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import errno
import functools
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ...cancel import CancelToken, Deadline

if TYPE_CHECKING:
    from requests import Session

    from .exchange import Exchange

_USER_AGENT = "NanoBanana-for-ComfyUI"
# RFC 8305's recommended delay before the next address is tried, in seconds.
_HEAD_START = 0.25
_POLL_SECONDS = 0.05
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", 0)})

Resolved = list[tuple[socket.AddressFamily, tuple[str, int]]]
LookUp = Callable[[str, int], Resolved]
Option = tuple[int, int, int]


def system_look_up(host: str, port: int) -> Resolved:
    """What the system answers. Raises OSError, and UnicodeError for what can't be a name."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in infos]  # type: ignore[misc]


def resolve(
    host: str, port: int, cancel: CancelToken, deadline: Deadline, look_up: LookUp = system_look_up
) -> Resolved:
    """(family, socket address) pairs of `host`, in the system's order of preference.

    Raises `socket.gaierror` if there are none, `TimeoutError` at the deadline, `Cancelled`.
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

    Hosts often have an IPv6 address that the network can't reach: the next address is tried alongside one that is
    slow, as RFC 8305 ("happy eyeballs") describes. Raises OSError (from the address that failed last), `Cancelled`.
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
                    # It failed: the next one needn't wait for its turn.
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


def make_session(exchange: Exchange) -> Session:
    """A session without state of its own: no headers but the agent's name, proxies from the environment."""
    # requests takes tens of milliseconds to import, so the import waits for the first call.
    import requests

    session = requests.Session()
    session.headers.clear()
    session.headers["User-Agent"] = _USER_AGENT
    # Even when told to follow none, requests reads a redirect's whole body to prepare the next request.
    session.resolve_redirects = _no_redirects  # type: ignore[method-assign]
    adapter = _adapter_class()(exchange)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _no_redirects(*_: object, **__: object) -> Iterator[Any]:
    return iter(())


@functools.cache
def _adapter_class() -> Any:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def __init__(self, exchange: Exchange) -> None:
            self._exchange = exchange
            super().__init__(max_retries=0)

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = _pools(self._exchange, socks=False)

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager: Any = super().proxy_manager_for(proxy, **kwargs)
            manager.pool_classes_by_scheme = _pools(self._exchange, socks=proxy.lower().startswith("socks"))
            return manager

    return Adapter


def _pools(exchange: Exchange, *, socks: bool) -> dict[str, Any]:
    """What urllib3 calls to make a pool, by scheme: its own pools, with connections that belong to `exchange`."""

    def pool(pool_class: Any, *args: Any, **kwargs: Any) -> Any:
        made = pool_class(*args, **kwargs)
        made.ConnectionCls = functools.partial(_controlled(pool_class.ConnectionCls, socks), exchange)
        return made

    if socks:
        from urllib3.contrib.socks import SOCKSHTTPConnectionPool, SOCKSHTTPSConnectionPool

        return {
            "http": functools.partial(pool, SOCKSHTTPConnectionPool),
            "https": functools.partial(pool, SOCKSHTTPSConnectionPool),
        }
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    return {"http": functools.partial(pool, HTTPConnectionPool), "https": functools.partial(pool, HTTPSConnectionPool)}


@functools.cache
def _controlled(base: Any, socks: bool) -> Any:
    """`base`, one of urllib3's connection classes, opened by an exchange or at least under its control."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    class Connection(base):
        def __init__(self, exchange: Exchange, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._exchange = exchange
            exchange.connections.append(self)

        def _new_conn(self) -> socket.socket:
            if socks:
                # PySocks talks to the proxy itself.
                sock: socket.socket = super()._new_conn()
                self._exchange.track(sock)
                return sock
            host, port = str(self._dns_host), self.port or self.default_port
            try:
                # The user chose the proxy, so it is not checked; we can't see what lies behind it.
                return self._exchange.open_socket(host, port, self.socket_options, checked=self.proxy is None)
            except TimeoutError as error:
                raise ConnectTimeoutError(self, f"Connection to {host} timed out.") from error
            except OSError as error:
                raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

        def connect(self) -> None:
            with self._exchange.connecting():
                super().connect()
            self.sock.settimeout(self._exchange.send_timeout)

    return Connection
