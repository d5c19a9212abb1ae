"""Small servers for the tests: a socket whose every byte a test chooses, and proxies that write down what they see."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

Serve = Callable[["Peer"], None]


@dataclass
class Peer:
    """One client of a `RawServer`."""

    sock: socket.socket
    stopping: threading.Event

    def head(self) -> bytes:
        """The request's head, up to and with its blank line."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(1)
            if not piece:
                break
            data += piece
        return data

    def request(self) -> tuple[str, dict[str, str], bytes]:
        """The request line, the headers with lower-case names, the body of the announced length."""
        line, *rest = self.head().decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest if row)}
        wanted = int(headers.get("content-length", "0"))
        body = b""
        while len(body) < wanted:
            piece = self.sock.recv(65536)
            if not piece:
                break
            body += piece
        return line, headers, body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def chunk(self, data: bytes) -> None:
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self, status: str, body: bytes = b"", **headers: str) -> None:
        """A whole answer of known length; `content_type="x"` becomes `Content-Type: x`."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    def wait_for_close(self, seconds: float = 10.0) -> bool:
        """Read until the client closes; says whether it did."""
        self.sock.settimeout(seconds)
        with contextlib.suppress(ConnectionError):
            try:
                while self.sock.recv(65536):
                    pass
            except TimeoutError:
                return False
        return True

    def pause(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class RawServer:
    """Calls `serve` in a thread for every connection, and closes it afterwards."""

    def __init__(self, serve: Serve, *, host: str = "127.0.0.1", receive_buffer: int = 0) -> None:
        self._serve = serve
        self._stopping = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind((host, 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.connections = 0
        self.errors: list[BaseException] = []
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> RawServer:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._socks.append(sock)
            self._begin(self._run, sock)

    def _run(self, sock: socket.socket) -> None:
        try:
            self._serve(Peer(sock, self._stopping))
        except OSError:
            pass  # the client left, or the test is over
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)
        finally:
            sock.close()


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that a further one is never answered: a black hole."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@dataclass
class Proxy:
    """An HTTP proxy that tunnels CONNECT and passes plain requests on; `names` leads made-up hosts to real ports.

    `refuse` is a status line's end with which it answers instead.
    """

    names: dict[str, int] = field(default_factory=dict)
    refuse: str = ""
    seen: list[str] = field(default_factory=list)

    def __enter__(self) -> Proxy:
        self._server = RawServer(self._serve)
        self._server.__enter__()
        self.url = self._server.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__()

    def _serve(self, client: Peer) -> None:
        head = client.head()
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.seen.append(f"{method} {target}")
        if self.refuse:
            client.send(f"HTTP/1.1 {self.refuse}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        if method == "CONNECT":
            with self._to(target) as upstream:
                client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                relay(client.sock, upstream)
            return
        authority, _, path = target.removeprefix("http://").partition("/")
        with self._to(authority) as upstream:
            upstream.sendall(f"{method} /{path} HTTP/1.1\r\n".encode() + rest)
            relay(client.sock, upstream)

    def _to(self, authority: str) -> socket.socket:
        host, _, port = authority.partition(":")
        if host in self.names:
            return socket.create_connection(("127.0.0.1", self.names[host]))
        return socket.create_connection((host, int(port or 80)))


class SocksProxy:
    """A SOCKS5 proxy without authentication, for names and IPv4 addresses."""

    def __init__(self, names: dict[str, int]) -> None:
        self.names = names
        self.seen: list[str] = []
        self._server = RawServer(self._serve)

    def __enter__(self) -> SocksProxy:
        self._server.__enter__()
        self.url = f"socks5h://127.0.0.1:{self._server.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def _serve(self, client: Peer) -> None:
        _, methods = _exactly(client.sock, 2)
        _exactly(client.sock, methods)
        client.send(b"\x05\x00")
        *_, kind = _exactly(client.sock, 4)
        host = _exactly(client.sock, _exactly(client.sock, 1)[0]).decode() if kind == 3 else ""
        host = host or ".".join(map(str, _exactly(client.sock, 4)))
        port = int.from_bytes(_exactly(client.sock, 2), "big")
        self.seen.append(f"{host}:{port}")
        with socket.create_connection(("127.0.0.1", self.names.get(host, port))) as upstream:
            client.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            relay(client.sock, upstream)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the client left")
        data += piece
    return data


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until either side ends."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(other, one), daemon=True)
    back.start()
    pump(one, other)
    back.join(10)
