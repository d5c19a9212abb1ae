"""The simulator as an object: a real HTTP server on a port of its own, started and stopped."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import ssl
import threading
from types import TracebackType
from typing import cast

from .handler import Handler
from .ledger import Ledger
from .state import Settings, State
from .validation import DIALECTS

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 10.0


class _Server(socketserver.TCPServer):
    """Accepts connections and serves each in a daemon thread that `drain` waits for."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], state: State, handler: type[Handler], ssl_context: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._state = state
        self._handler = handler
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        sock, address = cast(socket.socket, request), cast("tuple[str, int]", client_address)
        with self._lock:
            self._connections += 1
            name = f"nanobanana-simulator-{self._connections}"
            arguments = (sock, address, self._connections)
            thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
            self._threads[thread] = sock
        thread.start()

    def _run(self, sock: socket.socket, address: tuple[str, int], number: int) -> None:
        try:
            if self._ssl_context is not None:
                sock = self._ssl_context.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._threads[threading.current_thread()] = sock
            self._handler(self._state, number, sock, address, self)
        except OSError as error:
            logger.debug("connection %d: %s", number, error)
        finally:
            self.shutdown_request(sock)
            with self._lock:
                self._threads.pop(threading.current_thread(), None)

    def drain(self, seconds: float) -> None:
        """End all connections and wait for their threads."""
        with self._lock:
            running = dict(self._threads)
        for sock in running.values():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in running:
            thread.join(seconds)


class Simulator:
    """A gateway on this machine that speaks the documented API and draws its own images.

    `latency` is the time in seconds that an image takes. With `api_key` any other key is refused, without one every key
    is taken. `credit` is how many images are paid for (None: without end), `max_body` the bytes above which a request
    gets 413. `dialect` is one of `validation.DIALECTS`. With `progress` the time of waiting is filled with what a relay
    says meanwhile. With `keep_bodies` off, the ledger keeps no request bodies. With `ssl_context` it speaks https.
    ValueError for an unknown dialect.
    """

    # What serves a connection: a gateway that goes wrong on purpose has another.
    handler: type[Handler] = Handler

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        latency: float = 0.3,
        credit: int | None = None,
        max_body: int | None = None,
        dialect: str = "any",
        progress: bool = False,
        keep_bodies: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"There is no dialect {dialect!r}: {', '.join(DIALECTS)}")
        self._state = self._new_state(Settings(api_key, latency, credit, max_body, dialect, progress, keep_bodies))
        self._address = (host, port)
        self._ssl_context = ssl_context
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Such as `http://127.0.0.1:41234`; empty before `start`."""
        return self._state.base_url

    @property
    def ledger(self) -> Ledger:
        """What has been received so far."""
        return self._state.ledger

    def _new_state(self, settings: Settings) -> State:
        return State(settings)

    def start(self) -> Simulator:
        """Listen, and serve in daemon threads; OSError when the port is taken."""
        if self._server is not None:
            raise RuntimeError("The simulator runs already")
        self._server = _Server(self._address, self._state, self.handler, self._ssl_context)
        host, port = self._server.server_address[:2]
        host = "127.0.0.1" if host == "0.0.0.0" else host
        scheme = "http" if self._ssl_context is None else "https"
        self._state.base_url = f"{scheme}://{host}:{port}"
        self._state.stopping.clear()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="nanobanana-simulator", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every connection and thread; returns when they are gone."""
        if self._server is None or self._thread is None:
            return
        self._state.stopping.set()
        self._server.shutdown()
        self._thread.join(_JOIN_SECONDS)
        self._server.drain(_JOIN_SECONDS)
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


_shared_lock = threading.Lock()
_shared: list[Simulator] = []


def in_process() -> str:
    """The base URL of this process's own simulator, started at the first call; it runs until the process ends."""
    with _shared_lock:
        if not _shared:
            _shared.append(Simulator(progress=True, keep_bodies=False).start())
        return _shared[0].base_url
