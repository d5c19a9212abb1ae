"""HTTP exchanges that can be stopped from another thread. The only importer of requests and urllib3.

An `Exchange` owns one `requests.Session` whose connections are opened by us: the host is resolved under the
connect timeout, the address is checked and then connected to (so no second look-up can give another one), and the
socket is known, so a cancel or a deadline can shut it in whatever phase it is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..cancel import Cancelled, CancelToken, Deadline
from ..errors import BadAnswer
from .resolver import resolve

if TYPE_CHECKING:
    from requests import Response, Session
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

# Raises for an address that may not be connected to.
AddressCheck = Callable[[list[str]], None]

_READ_PIECE = 65536
_INFLATE_PIECE = 1 << 20
_USER_AGENT = "NanoBanana-for-ComfyUI"


class Exchange:
    """One session under a cancel token, a deadline and a connect timeout (seconds). Use as a context manager.

    `expired` tells afterwards whether the deadline ended it, `connected` whether a socket was ever open.
    """

    def __init__(
        self,
        cancel: CancelToken,
        deadline: Deadline,
        connect_timeout: float,
        check_addresses: AddressCheck | None = None,
    ) -> None:
        self._cancel = cancel
        self._deadline = deadline
        self._connect_timeout = connect_timeout
        self._check_addresses = check_addresses
        # Duplicates of the sockets in use: TLS takes the original apart, and a duplicate still shuts the connection.
        self._handles: list[socket.socket] = []
        self._lock = threading.Lock()
        self._stopped = False
        self.expired = False
        self.connected = False

    def __enter__(self) -> Exchange:
        self._timer = threading.Timer(self._deadline.remaining, self._expire)
        self._timer.daemon = True
        self._timer.start()
        self._forget = self._cancel.on_cancel(self.stop)
        self.session = _session(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._forget()
        self.session.close()
        self.stop()
        for handle in self._handles:
            handle.close()

    def _expire(self) -> None:
        self.expired = True
        self.stop()

    def stop(self) -> None:
        """Shut every socket; a thread blocked in send, receive or connect wakes with an error."""
        with self._lock:
            self._stopped = True
            for handle in self._handles:
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def open_socket(self, host: str, port: int, options: Any, *, checked: bool) -> socket.socket:
        """A connected socket to `host`. Raises OSError, `RefusedAddress` (from the check) or `Cancelled`."""
        limit = Deadline(min(self._connect_timeout, self._deadline.remaining))
        addresses = resolve(host, port, self._cancel, limit)
        if checked and self._check_addresses is not None:
            self._check_addresses([address[0] for _, address in addresses])
        failure: OSError = OSError(f"no address for {host}")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                for option in options or ():
                    sock.setsockopt(*option)
                self._register(sock)
                if limit.passed:
                    raise TimeoutError("timed out")
                sock.settimeout(limit.remaining)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
                self._cancel.check()
                continue
            # What is left of the connect timeout is the TLS handshake's.
            sock.settimeout(limit.remaining or 0.001)
            self.connected = True
            return sock
        raise failure

    @property
    def patience(self) -> float:
        """Seconds a single send may block: the deadline's, since sending a large body takes its time."""
        return self._deadline.remaining or 0.001

    def _register(self, sock: socket.socket) -> None:
        with self._lock:
            if self._stopped:
                raise TimeoutError("stopped")
            self._handles.append(sock.dup())


def _session(exchange: Exchange) -> Session:
    # requests takes tens of milliseconds to import, so it waits for the first call.
    import requests

    session = requests.Session()
    session.headers.clear()
    session.headers["User-Agent"] = _USER_AGENT
    adapter = _adapter(exchange)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _adapter(exchange: Exchange) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    def connect(connection: HTTPConnection) -> socket.socket:
        # A proxy is the user's own choice and is not checked; what lies behind it is out of our sight.
        host, port = str(connection._dns_host), connection.port  # pyright: ignore[reportPrivateUsage]
        try:
            return exchange.open_socket(
                host, port or connection.default_port, connection.socket_options, checked=connection.proxy is None
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"Connection to {host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(connection, f"Failed to establish a new connection: {error}") from error

    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(exchange.patience)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(exchange.patience)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection  # pyright: ignore[reportAssignmentType]

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection  # pyright: ignore[reportAssignmentType]

    pools = {"http": PlainPool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager: Any = super().proxy_manager_for(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):
                manager.pool_classes_by_scheme = pools
            return manager

    return Adapter(max_retries=0)


def authorization(key: str) -> Callable[[Any], Any]:
    """The `auth` argument of requests: the key where there is one, and in any case nothing from `~/.netrc`.

    requests asks netrc only when `auth` is None, and netrc would overwrite a header that we set ourselves.
    """

    def apply(prepared: Any) -> Any:
        if key:
            prepared.headers["Authorization"] = f"Bearer {key}"
        return prepared

    return apply


def arriving(response: Response) -> Iterator[bytes]:
    """The body's bytes as they arrive, decompressed. Each piece is at most 1 MiB, so no bomb unpacks at once.

    Raises what the socket raises, `BadAnswer` for a compression that wasn't offered.
    """
    raw: HTTPResponse = response.raw
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    inflate = _inflater(encoding)
    while True:
        data = raw.read1(_READ_PIECE, decode_content=False)
        if not data:
            return
        yield from inflate(data)


def _inflater(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in ("", "identity"):
        return lambda data: iter((data,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        words = f"The gateway compressed its answer in a way nobody asked for ({encoding[:20]})."
        raise BadAnswer(words, billed="maybe")
    # 32 + 15 lets zlib tell gzip from zlib by its header.
    unpacker = zlib.decompressobj(47)

    def inflate(data: bytes) -> Iterator[bytes]:
        while data:
            try:
                piece = unpacker.decompress(data, _INFLATE_PIECE)
            except zlib.error as error:
                raise BadAnswer("The gateway's compressed answer is damaged.", billed="maybe") from error
            data = unpacker.unconsumed_tail
            if piece:
                yield piece

    return inflate


def plain_headers(response: Response) -> Mapping[str, str]:
    """The answer's headers with lower-case names."""
    return {name.lower(): value for name, value in response.headers.items()}


__all__ = ["AddressCheck", "Cancelled", "Exchange", "arriving", "authorization", "plain_headers"]
