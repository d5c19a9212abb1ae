"""A `requests.Session` whose connections are opened and watched by an `Exchange`."""

# The base of the connection class is only known once urllib3 is imported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Session

    from .exchange import Exchange

_USER_AGENT = "NanoBanana-for-ComfyUI"


def make_session(exchange: Exchange) -> Session:
    """A session without state of its own: no headers but the agent's name, proxies from the environment."""
    # requests takes tens of milliseconds to import, so it waits for the first call.
    import requests

    session = requests.Session()
    session.headers.clear()
    session.headers["User-Agent"] = _USER_AGENT
    adapter = _adapter_class()(exchange)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


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
    """`base`, one of urllib3's connections, opened by an exchange or at least under its control."""
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
                # A proxy is the user's own choice and is not checked; what lies behind it is out of our sight.
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
