"""A `requests.Session` whose connections are opened by an `Exchange`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection

_USER_AGENT = "NanoBanana-for-ComfyUI"


class Opener(Protocol):
    """Who opens the connections."""

    def connecting(self) -> AbstractContextManager[None]:
        """Holds from the look-up of the host to the end of the TLS handshake."""
        ...

    def open_socket(self, host: str, port: int, options: Any, *, checked: bool) -> socket.socket:
        """A connected socket."""
        ...

    def track(self, sock: socket.socket) -> None:
        """Take a socket that was opened elsewhere under the same control."""
        ...

    @property
    def send_timeout(self) -> float:
        """Seconds that a single send or receive may block."""
        ...


def make_session(opener: Opener) -> Session:
    """A session without state of its own: no headers but the agent's name, proxies from the environment."""
    # requests takes tens of milliseconds to import, so it waits for the first call.
    import requests

    session = requests.Session()
    session.headers.clear()
    session.headers["User-Agent"] = _USER_AGENT
    adapter = _adapter(opener)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _adapter(opener: Opener) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    pools = _pools(opener)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager: Any = super().proxy_manager_for(proxy, **kwargs)
            if proxy.lower().startswith("socks"):
                manager.pool_classes_by_scheme = _socks_pools(opener)
            else:
                manager.pool_classes_by_scheme = pools
            return manager

        def close(self) -> None:
            # urllib3 closes a pool's connections when the pool is collected. Ours lead back to their pool, by way of
            # the opener, so that it never would be.
            for manager in (self.poolmanager, *self.proxy_manager.values()):
                for key in list(manager.pools.keys()):
                    pool = manager.pools.get(key)
                    if pool is not None:
                        pool.close()
            super().close()

    return Adapter(max_retries=0)


def _pools(opener: Opener) -> dict[str, Any]:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    open_socket = _socket_opener(opener)

    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self)

        def connect(self) -> None:
            with opener.connecting():
                super().connect()
            self.sock.settimeout(opener.send_timeout)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self)

        def connect(self) -> None:
            with opener.connecting():
                super().connect()
            self.sock.settimeout(opener.send_timeout)

    return _with_connections(HTTPConnectionPool, PlainConnection, HTTPSConnectionPool, SecureConnection)


def _socks_pools(opener: Opener) -> dict[str, Any]:
    """PySocks talks to the proxy itself; its sockets are taken under control once they are there."""
    from urllib3.contrib.socks import (
        SOCKSConnection,
        SOCKSHTTPConnectionPool,
        SOCKSHTTPSConnection,
        SOCKSHTTPSConnectionPool,
    )

    class PlainConnection(SOCKSConnection):
        def _new_conn(self) -> Any:
            sock: Any = super()._new_conn()
            opener.track(sock)
            return sock

        def connect(self) -> None:
            with opener.connecting():
                super().connect()
            self.sock.settimeout(opener.send_timeout)

    class SecureConnection(SOCKSHTTPSConnection):
        def _new_conn(self) -> Any:
            sock: Any = super()._new_conn()
            opener.track(sock)
            return sock

        def connect(self) -> None:
            with opener.connecting():
                super().connect()
            self.sock.settimeout(opener.send_timeout)

    return _with_connections(SOCKSHTTPConnectionPool, PlainConnection, SOCKSHTTPSConnectionPool, SecureConnection)


def _with_connections(plain_pool: Any, plain: Any, secure_pool: Any, secure: Any) -> dict[str, Any]:
    return {
        "http": type("PlainPool", (plain_pool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (secure_pool,), {"ConnectionCls": secure}),
    }


def _socket_opener(opener: Opener) -> Callable[[HTTPConnection], socket.socket]:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    def open_socket(connection: HTTPConnection) -> socket.socket:
        # A proxy is the user's own choice and is not checked; what lies behind it is out of our sight.
        host, port = str(connection._dns_host), connection.port  # pyright: ignore[reportPrivateUsage]
        checked = connection.proxy is None
        try:
            return opener.open_socket(host, port or connection.default_port, connection.socket_options, checked=checked)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"Connection to {host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(connection, f"Failed to establish a new connection: {error}") from error

    return open_socket
