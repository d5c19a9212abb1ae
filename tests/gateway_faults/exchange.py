"""One `POST /v1/chat/completions` from its headers to the end of its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pack.nanobanana.simulator.answers import Identity, ServedImage
from pack.nanobanana.simulator.connection import ClientLeft, Hangup, Peer, read_body
from pack.nanobanana.simulator.conversation import Conversation
from pack.nanobanana.simulator.errors import NO_CREDIT, TOO_LARGE, WRONG_KEY, Failure, Rejected, bad_request
from pack.nanobanana.simulator.ledger import Post
from pack.nanobanana.simulator.reply import head, send_whole
from pack.nanobanana.simulator.results import encode
from pack.nanobanana.simulator.validation import Order

from .answering import plain_framing, plain_pieces, stream_pieces
from .failures import UNBILLED_CODES
from .faults import read_markers
from .framing import Piece
from .hostile import ANSWERS, RAW
from .images import VARIANTS
from .plan import Plan, Stop
from .reply import cut_offset, halt, send_body, send_endless
from .state import FaultyState


class FaultyConversation(Conversation):
    """Serves one POST. `read(n)` gives at most n bytes of its body."""

    _state: FaultyState

    def __init__(self, state: FaultyState, peer: Peer, entry: Post, read: Callable[[int], bytes], length: int) -> None:
        super().__init__(state, peer, entry, read, length)
        self._plan = Plan()

    def run(self) -> None:
        """Answer; raises ClientLeft, Stopping, or Hangup where a fault ended the connection."""
        self._plan = Plan(self._state.next_faults())
        self._note_faults()
        raw = self._receive()
        try:
            order = self._accept(raw)
            self._halt_at("before_headers", billed=True)
            self._answer(order)
        except Rejected as rejected:
            self._fail(rejected.failure)

    def _note_faults(self) -> None:
        self._state.ledger.note(self._entry, faults=tuple(str(fault) for fault in self._plan.faults))

    def _receive(self) -> bytes:
        self._halt_at("before_body", billed=False)
        if self._plan.has("http_413_early"):
            self._peer.send(head(413, [("Connection", "close"), ("Content-Length", "0")]))
            self._state.ledger.note(self._entry, status=413, rejected=TOO_LARGE.message)
            self._peer.close()
            raise Hangup
        rate = self._plan.number("slow_upload", "bytes_per_second") or 0
        if rate:
            self._peer.shrink_receive_buffer()
        stop = self._plan.stop
        wanted = self._length // 2 if stop and stop.point == "mid_body" else self._length
        try:
            raw = read_body(self._read, wanted, self._peer.pause, rate)
        except OSError as error:
            raise ClientLeft(str(error)) from error
        self._state.ledger.note(self._entry, body_length=len(raw))
        if len(raw) < wanted:
            raise ClientLeft("the request's body is not complete")
        self._halt_at("mid_body", billed=False)
        self._state.ledger.note(self._entry, body_received=time.monotonic())
        return raw

    def _accept(self, raw: bytes) -> Order:
        order = super()._accept(raw)
        return self._read_markers(order) if self._state.markers else order

    def _read_markers(self, order: Order) -> Order:
        try:
            markers = read_markers(order.prompt)
        except ValueError as error:
            raise bad_request(f"In the prompt: {error}", "messages") from error
        if markers.faults and (not markers.times or self._state.count("times", order.prompt) <= markers.times):
            further = Plan(markers.faults)
            if further.of("upload") or (further.stop and further.stop.in_upload) or further.has("slow_upload"):
                raise bad_request("In the prompt: a fault of the upload cannot be set by what is uploaded", "messages")
            self._plan = self._plan.plus(markers.faults)
            self._note_faults()
        return replace(order, prompt=markers.text)

    def _answer(self, order: Order) -> None:
        plan, peer = self._plan, self._peer
        waited_from = time.monotonic()
        asked = plan.number("latency", "seconds")
        failure = plan.failure
        if plan.has("echo_key"):
            given = (self._entry.header("Authorization") or "").removeprefix("Bearer ")
            failure = replace(WRONG_KEY, message=f"Incorrect API key provided: {given}")
        redirect = plan.last("redirect")
        if failure or redirect:
            if failure and failure.billed:
                self._bill()
            peer.pause(asked or 0)
            if failure:
                raise Rejected(failure)
            if redirect:
                status = int(redirect.name.rpartition("_")[2])
                self._redirect(status, redirect.values["url"])
            return
        count = int(plan.number("pictures", "count") or 1)
        if not self._state.pay(count):
            raise Rejected(NO_CREDIT)
        error = plan.last("status_200")
        if error is None or error.values["code"] not in UNBILLED_CODES:
            self._bill()
        deadline = waited_from + (self._state.settings.latency if asked is None else asked)
        raw, hostile = plan.last("hostile_raw"), plan.last("hostile")
        identity = self._identity()
        if raw or hostile:
            peer.pause(deadline - time.monotonic())
            self._hostile(raw.name if raw else "", hostile.name if hostile else "", identity)
            return
        images = [] if plan.of("empty") or error else self._images(order, count)
        self._state.ledger.note(self._entry, image_urls=tuple(input_image.url for input_image in images))
        self._respond(order, identity, images, deadline)

    def _redirect(self, status: int, url: str) -> None:
        self._state.ledger.note(self._entry, status=status, redirected=True)
        location = url or f"{self._state.base_url}/v1/chat/completions"
        send_whole(self._peer, status, [("Location", location)], b"")

    def _hostile(self, raw: str, name: str, identity: Identity) -> None:
        self._state.ledger.note(self._entry, status=200)
        if raw:
            self._peer.send(RAW[raw][0])
            self._peer.pause(0.2)
            self._peer.close()
            raise Hangup
        pieces, content_type, _ = ANSWERS[name]
        headers = [*self._headers(), ("Content-Type", content_type)]
        if name == "hostile_gzip_bomb":
            headers.append(("Content-Encoding", "gzip"))
        send_endless(self._peer, headers, pieces(identity))

    def _images(self, order: Order, count: int) -> list[ServedImage]:
        plan = self._plan
        hostile = plan.hostile_url
        if hostile is not None:
            return [ServedImage(hostile, b"", "image/png")] * count
        variant, form = plan.last("picture"), plan.last("url")
        made: list[ServedImage] = []
        for _ in range(count):
            image = self._painting(order)
            data, mime = VARIANTS[variant.name][0](image) if variant else encode(image, order.image_format)
            result = self._state.results.add(
                self._state.base_url, data, mime, form.name if form else "", plan.downloads
            )
            made.append(ServedImage(result.url, data, mime))
        return made

    def _respond(self, order: Order, identity: Identity, images: list[ServedImage], deadline: float) -> None:
        plan, framing, request_id = self._plan, self._plan.framing, self._entry.request_id
        if order.stream and not framing.plain:
            talks = plan.has("progress") or self._state.settings.progress
            left = max(0.0, deadline - time.monotonic())
            pieces = stream_pieces(plan, images, identity, request_id, left if talks else None)
        else:
            talks = False
            framing = plain_framing(framing)
            pieces = plain_pieces(plan, images, identity, request_id)
        if not talks:
            self._peer.pause(deadline - time.monotonic())
        self._state.ledger.note(self._entry, status=200)
        stop = plan.stop
        needles = [text.encode() for input_image in images for text in (input_image.url, input_image.base64)]
        length = cut_offset(stop, pieces, needles) if stop else None
        send_body(self._peer, self._headers(), framing, pieces, length)
        if stop:
            halt(self._peer, stop)
        if framing.transfer == "close":
            self._peer.close()
            raise Hangup

    def _fail(self, failure: Failure) -> None:
        body, content_type = self._plan.body(failure, self._message(failure))
        headers = [*self._headers(), ("Content-Type", content_type)]
        if self._plan.retry_after is not None:
            headers.append(("Retry-After", self._plan.retry_after))
        self._state.ledger.note(self._entry, status=failure.status, rejected=failure.message)
        stop = self._plan.stop
        if stop is None or stop.in_upload:
            send_whole(self._peer, failure.status, headers, body)
            return
        self._peer.send(head(failure.status, [*headers, ("Content-Length", str(len(body)))]))
        self._peer.send(body[: cut_offset(stop, [Piece(body, bearing=True)], ())])
        halt(self._peer, stop)

    def _halt_at(self, point: str, *, billed: bool) -> None:
        stop = self._plan.stop
        if stop and stop.point == point:
            if billed:
                self._bill()
                self._peer.pause(self._plan.number("latency", "seconds") or 0)
            halt(self._peer, Stop(stop.action, point))
