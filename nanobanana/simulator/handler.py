"""One connection's requests: routes, and what ends them."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import time
from http.server import BaseHTTPRequestHandler

from .catalog import MODELS
from .connection import ClientLeft, Hangup, Peer, Stopping, read_body
from .conversation import Conversation
from .errors import NO_KEY, WRONG_KEY, Failure, documented_body
from .ledger import Download, Post, Request
from .reply import send_whole
from .state import State, new_request_id

logger = logging.getLogger(__name__)

ENDPOINT = "/v1/chat/completions"


class Handler(BaseHTTPRequestHandler):
    """Serves the requests of one connection, which has a number for the ledger."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self, state: State, number: int, sock: socket.socket, address: tuple[str, int], server: socketserver.BaseServer
    ) -> None:
        self._state = state
        self._number = number
        self._peer = Peer(sock, state.stopping)
        super().__init__(sock, address, server)

    def do_POST(self) -> None:
        headers = dict(self.headers.items())
        if self._route() == ENDPOINT:
            entry = self._state.ledger.post("POST", self.path, headers, self._number, new_request_id())
            self._guard(entry)
            return
        entry = self._other()
        try:
            # Closing over an unread body would reset the connection, and the client might never see the 404.
            read_body(self.rfile.read1, self._length() or 0, self._peer.pause, 0)
        except OSError as error:
            logger.debug("the body of a wrong path: %s", error)
        self._guard(entry)
        self.close_connection = True

    def do_GET(self) -> None:
        if self._route().startswith("/output/"):
            headers = dict(self.headers.items())
            self._guard(self._state.ledger.download("GET", self.path, headers, self._number))
        else:
            self._guard(self._other())

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)

    def _route(self) -> str:
        return self.path.partition("?")[0]

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdigit() else None

    def _other(self) -> Request:
        return self._state.ledger.other(self.command, self.path, dict(self.headers.items()), self._number)

    def _guard(self, entry: Request) -> None:
        ledger = self._state.ledger
        try:
            self._serve(entry)
        except ClientLeft:
            # Our own stop ends the connection too; it is said before it is done.
            if not self._state.stopping.is_set():
                ledger.note(entry, closed_early=time.monotonic())
            self.close_connection = True
        except (Hangup, Stopping):
            self.close_connection = True
        ledger.note(entry, finished=time.monotonic())

    def _serve(self, entry: Request) -> None:
        if isinstance(entry, Download):
            self._download(entry)
        elif isinstance(entry, Post):
            length = self._length()
            if length is None:
                self.close_connection = True
                self._fail(entry, Failure(411, "Length required", None, "invalid_request_error"))
                return
            self._post(entry, length)
        else:
            self._rest(entry)

    def _post(self, entry: Post, length: int) -> None:
        Conversation(self._state, self._peer, entry, self.rfile.read1, length).run()

    def _download(self, entry: Download) -> None:
        """The image at a result URL, which takes no key and no cookie."""
        secrets = tuple(f"{name} was sent" for name in ("Authorization", "Cookie") if entry.header(name) is not None)
        result = self._state.results.find(self._route())
        if secrets:
            self._state.ledger.note(entry, violations=secrets, status=400)
            send_whole(self._peer, 400, [("Content-Type", "text/plain")], b"A result URL takes no key and no cookie")
        elif result is None:
            self._state.ledger.note(entry, status=404)
            send_whole(self._peer, 404, [("Content-Type", "text/html")], b"<html><body>Not Found</body></html>")
        else:
            self._state.ledger.note(entry, status=200)
            send_whole(self._peer, 200, [("Content-Type", result.mime)], result.data)
            self._state.ledger.note(entry, complete=True, sent_bytes=len(result.data))

    def _rest(self, entry: Request) -> None:
        route = self._route()
        if self.command == "GET" and route == "/v1/models":
            self._models(entry)
        elif self.command == "GET" and route == "/health":
            self._json(entry, {"status": "ok", "simulator": True})
        elif self.command == "GET" and route == "/ledger":
            self._json(entry, self._state.ledger.summary())
        else:
            message = f"Invalid URL ({self.command} {route})"
            self._fail(entry, Failure(404, message, "not_found", "invalid_request_error"))

    def _models(self, entry: Request) -> None:
        key, given = self._state.settings.api_key, entry.header("Authorization")
        if key is not None and given != f"Bearer {key}":
            self._fail(entry, WRONG_KEY if given else NO_KEY)
        else:
            models = [
                {"id": name, "object": "model", "created": 1626777600, "owned_by": "simulator"} for name in MODELS
            ]
            self._json(entry, {"object": "list", "data": models})

    def _json(self, entry: Request, value: object) -> None:
        self._state.ledger.note(entry, status=200)
        send_whole(self._peer, 200, [("Content-Type", "application/json")], json.dumps(value).encode())

    def _fail(self, entry: Request, failure: Failure) -> None:
        body, content_type = documented_body(failure, f"{failure.message} (request id: {new_request_id()})")
        self._state.ledger.note(entry, status=failure.status)
        send_whole(self._peer, failure.status, [("Content-Type", content_type)], body)
