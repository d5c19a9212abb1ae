"""A simulator that goes wrong on purpose."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from pack.nanobanana.simulator import Simulator
from pack.nanobanana.simulator.errors import Failure
from pack.nanobanana.simulator.handler import Handler
from pack.nanobanana.simulator.ledger import Download, Post, Request
from pack.nanobanana.simulator.reply import send_whole
from pack.nanobanana.simulator.results import encode
from pack.nanobanana.simulator.state import Settings
from PIL import Image

from . import downloading
from .exchange import FaultyConversation
from .faults import Fault
from .state import FaultyState

Step: TypeAlias = "Fault | str | Sequence[Fault | str] | None"
"""The faults of one request: one, several, or none."""


def _parsed(step: Step) -> tuple[Fault, ...]:
    if step is None:
        return ()
    if isinstance(step, (Fault, str)):
        step = [step]
    return tuple(fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in step)


class FaultyHandler(Handler):
    """Serves the requests of one connection as the faults say."""

    _state: FaultyState

    def setup(self) -> None:
        # The system would let the buffer grow to tens of megabytes, and swallow a body that nobody reads.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        super().setup()

    def do_GET(self) -> None:
        if self._route().startswith("/decoy/"):
            headers = dict(self.headers.items())
            self._guard(self._state.ledger.download("GET", self.path, headers, self._number))
        else:
            super().do_GET()

    def _post(self, entry: Post, length: int) -> None:
        FaultyConversation(self._state, self._peer, entry, self.rfile.read1, length).run()

    def _download(self, entry: Download) -> None:
        if self._route().startswith("/decoy/"):
            # A real image, so that a client which takes interim drafts or mere links for results is found out.
            self._state.ledger.note(entry, decoy=True, violations=("a decoy was downloaded",), status=200)
            send_whole(self._peer, 200, [("Content-Type", "image/png")], encode(Image.new("RGB", (8, 8)), "png")[0])
            return
        downloading.serve(self._state, self._peer, entry, self._state.results.find(self._route()))

    def _models(self, entry: Request) -> None:
        faults = {fault.name for fault in self._state.standing_faults() if fault.kind.family == "models"}
        if "models_hang" in faults:
            self._peer.pause(None)
        if "models_html" in faults:
            self._state.ledger.note(entry, status=200)
            send_whole(self._peer, 200, [("Content-Type", "text/html")], b"<!DOCTYPE html><html>New API</html>")
        elif "models_404" in faults:
            self._fail(entry, Failure(404, "Invalid URL (GET /v1/models)", "not_found", "invalid_request_error"))
        elif "models_500" in faults:
            self._fail(entry, Failure(500, "Internal server error", "internal_error"))
        else:
            super()._models(entry)


class FaultyGateway(Simulator):
    """A `Simulator` with `faults` for every request (see `FAULTS` for their names) and `script` for a sequence.

    With `markers` off, markers in prompts are mere text. ValueError for an unknown fault.
    """

    handler = FaultyHandler
    _state: FaultyState

    def __init__(self, *, faults: Sequence[Fault | str] = (), markers: bool = True, **options: Any) -> None:
        self._first = (_parsed(faults), markers)
        super().__init__(**options)

    def _new_state(self, settings: Settings) -> FaultyState:
        return FaultyState(settings, *self._first)

    def set_faults(self, faults: Step) -> None:
        """Replace the faults that hold for every request."""
        self._state.set_faults(_parsed(faults))

    def script(self, steps: Sequence[Step]) -> None:
        """Faults for the next POSTs, one step each, on top of those for every request; None is a step without any."""
        self._state.set_script([_parsed(step) for step in steps])

    def __enter__(self) -> FaultyGateway:
        return cast("FaultyGateway", super().__enter__())
