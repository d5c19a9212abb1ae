"""One `POST /v1/chat/completions` from its headers to the end of its answer."""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from .answers import Identity, ServedImage, stream, whole
from .catalog import pixels
from .connection import ClientLeft, Peer, read_body
from .errors import NO_CREDIT, NO_KEY, TOO_LARGE, WRONG_KEY, Failure, Rejected, bad_request, documented_body
from .inputs import InputImage, decode_image
from .ledger import Post
from .painting import Subject, paint
from .reply import Headers, send_stream, send_whole
from .results import encode
from .state import State
from .validation import Order, read_order


class Conversation:
    """Serves one POST. `read(n)` gives at most n bytes of its body."""

    def __init__(self, state: State, peer: Peer, entry: Post, read: Callable[[int], bytes], length: int) -> None:
        self._state = state
        self._peer = peer
        self._entry = entry
        self._read = read
        self._length = length

    def run(self) -> None:
        """Answer; raises ClientLeft or Stopping."""
        raw = self._receive()
        try:
            self._answer(self._accept(raw))
        except Rejected as rejected:
            self._fail(rejected.failure)

    def _receive(self) -> bytes:
        try:
            raw = read_body(self._read, self._length, self._peer.pause, 0)
        except OSError as error:
            raise ClientLeft(str(error)) from error
        self._state.ledger.note(self._entry, body_length=len(raw))
        if len(raw) < self._length:
            raise ClientLeft("the request's body is not complete")
        self._state.ledger.note(self._entry, body_received=time.monotonic())
        return raw

    def _accept(self, raw: bytes) -> Order:
        settings = self._state.settings
        self._authorize(settings.api_key)
        if settings.max_body is not None and len(raw) > settings.max_body:
            raise Rejected(TOO_LARGE)
        body, order = read_order(raw, settings.dialect)
        kept = body if settings.keep_bodies else None
        self._state.ledger.note(
            self._entry, body=kept, prompt=order.prompt, model=order.model, input_images=len(order.images)
        )
        return replace(order, images=tuple(self._fetched(input_image) for input_image in order.images))

    def _authorize(self, key: str | None) -> None:
        given = self._entry.header("Authorization") or ""
        if key is None:
            return
        if not given:
            raise Rejected(NO_KEY)
        if not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            raise Rejected(WRONG_KEY)

    def _fetched(self, input_image: InputImage) -> InputImage:
        """A URL of the simulator's own results as an image; any other is left unfetched."""
        if input_image.image is None and input_image.url.startswith(self._state.base_url + "/output/"):
            result = self._state.results.find(input_image.url)
            if result is None:
                raise bad_request(f"There is no image at {input_image.url}", "messages")
            return decode_image(result.data, result.mime, "messages")
        return input_image

    def _answer(self, order: Order) -> None:
        deadline = time.monotonic() + self._state.settings.latency
        if not self._state.pay(1):
            raise Rejected(NO_CREDIT)
        self._bill()
        image = self._painted(order)
        self._state.ledger.note(self._entry, image_urls=(image.url,), status=200)
        identity = self._identity()
        left = max(0.0, deadline - time.monotonic())
        if not order.stream:
            self._peer.pause(left)
            send_whole(
                self._peer, 200, [*self._headers(), ("Content-Type", "application/json")], whole(image, identity)
            )
            return
        talks = self._state.settings.progress
        if not talks:
            self._peer.pause(left)
        send_stream(self._peer, self._headers(), stream(image, identity, left if talks else None))

    def _identity(self) -> Identity:
        return Identity(f"chatcmpl_{uuid.uuid4().hex}", int(time.time()), "NanoBananaPro-8K")

    def _painted(self, order: Order) -> ServedImage:
        data, mime = encode(self._painting(order), order.image_format)
        return self._state.results.add(self._state.base_url, data, mime)

    def _painting(self, order: Order) -> Image.Image:
        sequence = self._state.count("sequence", order.prompt, order.model, order.ratio)
        inputs = tuple(input_image.painted() for input_image in order.images)
        return paint(
            Subject(order.prompt, order.model, order.ratio, pixels(order.model, order.ratio), sequence, inputs)
        )

    def _bill(self) -> None:
        self._state.ledger.note(self._entry, billed=True)

    def _headers(self) -> Headers:
        return [("X-Oneapi-Request-Id", self._entry.request_id), ("Cache-Control", "no-cache")]

    def _message(self, failure: Failure) -> str:
        return f"{failure.message} (request id: {self._entry.request_id})"

    def _fail(self, failure: Failure) -> None:
        body, content_type = documented_body(failure, self._message(failure))
        self._state.ledger.note(self._entry, status=failure.status, rejected=failure.message)
        send_whole(self._peer, failure.status, [*self._headers(), ("Content-Type", content_type)], body)
