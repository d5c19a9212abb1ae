"""HTTP exchanges that can be stopped from another thread.

An `Exchange` owns one `requests.Session` whose connections we open: the host is resolved under the connect
timeout, the address is checked and then connected to (so no second look-up can give another one), and the socket
is known, so a cancel or a deadline can shut it in any phase.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from http.client import HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...cancel import CancelToken, Deadline
from ...errors import BadAnswer
from .connection import LookUp, connect, make_session, resolve, system_look_up
from .errors import network_exceptions, wrong_setting

if TYPE_CHECKING:
    from requests import Response

# Called with a host, its port and the addresses it resolved to; raises if one of them may not be connected to.
AddressCheck = Callable[[str, int, list[str]], None]

# A timeout of 0 would mean "don't block at all".
_SHORTEST = 0.001
_READ_PIECE = 65536
_INFLATE_PIECE = 1 << 20
# SO_LINGER on, for 0 seconds: closing ends the connection with a reset.
_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Exchange:
    """One session under a cancel token, a deadline and a connect timeout (seconds). Use as a context manager.

    `expired` tells afterwards whether the deadline ended it, `connect_expired` whether the connect timeout did,
    `connected` whether a connection was ever open. `on_connected` runs once it is, before a byte of the request leaves;
    if it raises, the request ends.
    """

    def __init__(
        self,
        cancel: CancelToken,
        deadline: Deadline,
        connect_timeout: float,
        check_addresses: AddressCheck | None = None,
        look_up: LookUp = system_look_up,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._cancel = cancel
        self._deadline = deadline
        self._connect_timeout = connect_timeout
        self._connect_limit = deadline
        self._check_addresses = check_addresses
        self._look_up = look_up
        self._on_connected = on_connected
        # Duplicates of the sockets in use: TLS detaches the original, and a duplicate still shuts the connection.
        self._handles: list[socket.socket] = []
        self.connections: list[Any] = []
        self._responses: list[Response] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._last_heard = 0.0
        self._ended: threading.Event | None = None
        self.expired = False
        self.connect_expired = False
        self.connected = False

    def __enter__(self) -> Exchange:
        self._ending = contextlib.ExitStack()
        with contextlib.ExitStack() as ending:
            self.session = make_session(self)
            ending.callback(self._close)
            ending.enter_context(_timer(self._deadline.remaining, self._expire))
            ending.callback(self._cancel.on_cancel(self.abort))
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _close(self) -> None:
        # Shut the sockets first, or closing would wait for a body that is still arriving.
        self._stop()
        # A response may hold its connection's socket.
        for one in (*self._responses, *self.connections):
            one.close()
        # urllib3 holds a pool's connections until the pool is gone, and they hold us, with all that called us: images.
        self.session.close()
        self._responses.clear()
        self.connections.clear()
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()

    def _expire(self) -> None:
        self.expired = True
        self.abort()

    def _expire_connecting(self) -> None:
        self.connect_expired = True
        self.abort()

    def abort(self) -> None:
        """Shut every socket; a thread blocked in send or receive wakes with an error.

        Unsent data is discarded, so a gateway that reads slowly sees the end at once and not after that data.
        """
        self._stop(_RESET)

    def _stop(self, linger: bytes | None = None) -> None:
        with self._lock:
            self._stopped = True
            for handle in self._handles:
                with contextlib.suppress(OSError):
                    if linger:
                        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    handle.shutdown(socket.SHUT_RDWR)

    def request(self, method: str, url: str, *, idle_seconds: float | None = None, **arguments: Any) -> Response:
        """The answer, its body not read yet. Follows no redirect. `idle_seconds`: the longest silence, None for any.

        `arguments` are those of `requests.Session.request`. Raises what requests raises, and `ConfigError` for a proxy
        or a file of certificates that this computer's settings name and that can't be used.
        """
        timeout = (self._connect_timeout, idle_seconds)
        if is_loopback(urlsplit(url).hostname or ""):
            # An empty address of a proxy stands before those of the environment, and means none.
            arguments["proxies"] = dict.fromkeys(("http", "https", "all"), "")
        try:
            response = self.session.request(
                method, url, stream=True, allow_redirects=False, timeout=timeout, **arguments
            )
        except network_exceptions() as error:
            wrong = None if self.connected else wrong_setting(error, urlsplit(url).netloc)
            if wrong is not None:
                raise wrong from None
            raise
        self._responses.append(response)
        return response

    def arriving(self, response: Response) -> Iterator[bytes]:
        """The body's bytes as they arrive. Raises what the socket raises, `Cancelled`, and TimeoutError when stopped.

        Each piece is checked: a connection that we shut looks like a body's end, or goes on while bytes are buffered.
        """
        for piece in _unpacked(response):
            self._check_running()
            yield piece
        self._check_running()

    def _check_running(self) -> None:
        if self._stopped:
            self._cancel.check()
            raise TimeoutError("stopped")

    def limit_remaining(self, seconds: float) -> None:
        """End in `seconds` from now at the latest. Unlike the deadline this does not set `expired`."""
        self._ending.enter_context(_timer(seconds, self._stop))

    def end_when_silent(self, seconds: float) -> None:
        """Close the connection once `heard` hasn't been called for `seconds`. Unlike the deadline this does not set
        `expired`. Later calls do nothing.
        """
        if self._ended is not None:
            return
        self._ended = ended = threading.Event()
        self.heard()
        self._ending.callback(ended.set)

        def watch() -> None:
            while (left := self._last_heard + seconds - time.monotonic()) > 0:
                if ended.wait(left):
                    return
            self._stop()

        # Without another thread to start, the deadline alone ends it.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=watch, name="nanobanana-silence", daemon=True).start()

    def heard(self) -> None:
        """Something came that is more than a sign of life."""
        self._last_heard = time.monotonic()

    @contextlib.contextmanager
    def connecting(self) -> Generator[None]:
        """Run the connect timeout over look-up, TCP, the proxy's handshake and TLS together."""
        self._connect_limit = Deadline(min(self._connect_timeout, self._deadline.remaining))
        with _timer(self._connect_limit.remaining, self._expire_connecting):
            yield
        self.connected = True
        self._on_connected()

    def open_socket(self, host: str, port: int, options: Any, *, checked: bool) -> socket.socket:
        """A connected socket to `host`. Raises OSError, what the check raises, or `Cancelled`."""
        addresses = resolve(host, port, self._cancel, self._connect_limit, self._look_up)
        if checked and self._check_addresses is not None:
            self._check_addresses(host, port, [address[0] for _, address in addresses])
        sock = connect(addresses, options, self._cancel, self._connect_limit)
        # What is left of the connect timeout is the TLS handshake's.
        sock.settimeout(self._connect_limit.remaining or _SHORTEST)
        self.track(sock)
        return sock

    @property
    def seconds(self) -> float:
        """The deadline's length."""
        return self._deadline.seconds

    @property
    def send_timeout(self) -> float:
        """Seconds a single send may block: up to the deadline, since sending a large body takes time."""
        return self._deadline.remaining or _SHORTEST

    def track(self, sock: socket.socket) -> None:
        """Shut `sock` too when this exchange ends. If it has ended already, closes `sock` and raises TimeoutError."""
        with self._lock:
            if not self._stopped:
                self._handles.append(sock.dup())
                return
        sock.close()
        raise TimeoutError("stopped")


@contextlib.contextmanager
def _timer(seconds: float, action: Callable[[], None]) -> Generator[None]:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_loopback(host: str) -> bool:
    """Whether `host` is this computer itself, which is never reached through a proxy."""
    if host.rstrip(".").lower() in ("localhost", "ip6-localhost") or host.lower().rstrip(".").endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def authorization(key: str, headers: Mapping[str, str] | None = None) -> Callable[[Any], Any]:
    """The `auth` argument of requests: `headers`, the key if there is one, and never anything from `~/.netrc`.

    requests asks netrc only when `auth` is None, and netrc would overwrite a header that we set ourselves.
    """

    def apply(prepared: Any) -> Any:
        prepared.headers.update(headers or {})
        if key:
            prepared.headers["Authorization"] = f"Bearer {key}"
        return prepared

    return apply


def _unpacked(response: Response) -> Iterator[bytes]:
    """The body's bytes as they arrive, decompressed. Each piece is at most 1 MiB, so no bomb unpacks at once.

    Raises what the socket raises, and `BadAnswer` for a compression that wasn't asked for.
    """
    read = _reader(response.raw)
    inflate = _inflater(response.headers.get("Content-Encoding", "").strip().lower())
    while data := read(_READ_PIECE):
        yield from inflate(data)


def _reader(raw: Any) -> Callable[[int], bytes]:
    """Reads what has arrived of `raw`, urllib3's response, as it is on the wire."""
    if hasattr(raw, "read1"):
        return partial(raw.read1, decode_content=False)
    # urllib3 before 2.2 waits for as many bytes as are asked for: http.client's response below it doesn't.
    below: HTTPResponse = raw._fp

    def read(size: int) -> bytes:
        data = below.read1(size)
        if not data and below.length:
            raise IncompleteRead(data, below.length)
        return data

    return read


def _inflater(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in ("", "identity"):
        return lambda data: iter((data,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadAnswer(f"The answer is compressed in a way that wasn't asked for ({encoding[:20]}).", billed="maybe")
    return _Inflater().pieces


class _Inflater:
    """gzip, with one member or several, and zlib: 47, which is 32 + 15, tells them apart by the header."""

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
            # After one member's end the next one's bytes are "unused": a bomb of many members goes through here too.
            data = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            if piece:
                yield piece


def plain_headers(response: Response) -> Mapping[str, str]:
    """The answer's headers with lower-case names."""
    return {name.lower(): value for name, value in response.headers.items()}


def ends_with_connection(response: Response) -> bool:
    """Whether only the connection's end marks the body's end, so a body cut short looks whole."""
    headers = plain_headers(response)
    return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()
