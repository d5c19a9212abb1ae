"""One call to the gateway: a body goes out, an answer comes in. Sent once; whether to send again is decided above."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote, urlsplit

from ..cancel import Cancelled, CancelToken, Deadline
from ..errors import (
    BadAnswer,
    GatewayError,
    NotFound,
    RateLimited,
    ServerFailed,
    StatusError,
    StreamBroken,
    TimedOut,
    Unreachable,
)
from ..progress import Progress, ReportProgress
from ..settings.profile import Profile, endpoint
from ..settings.redaction import redact_bytes
from .answer.reader import AnswerReader
from .answer.types import Answer, AnswerEvent, ImageData, ImageUrl
from .http.errors import network_error, network_exceptions
from .http.exchange import Exchange, authorization, plain_headers
from .request_body import RequestBody
from .retry import Backoff
from .status_errors import status_error
from .text import header_request_id

_OK = 200
_ERROR_BODY_LIMIT = 65536
_ERROR_BODY_SECONDS = 2.0
_COMPLETIONS = "/v1/chat/completions"
# Where relays that queue the work tell how far a task is.
_TASK_PATHS = ("/v1/images/tasks/{id}", "/v1/tasks/{id}")
# Seconds between two looks at a task; the last one goes on.
_TASK_PAUSES = (2.0, 3.0, 5.0, 8.0, 10.0)
# Free requests are answered quickly or not at all.
_FREE_SECONDS = 20.0


@dataclass(frozen=True)
class Callbacks:
    """`on_sending`: the request is about to leave (may raise: then nothing is sent). `on_sent`: all of it has left.

    `on_url`: a result's URL came. `on_data`: a whole inline image came.
    """

    on_sending: Callable[[], None] = lambda: None
    on_sent: Callable[[], None] = lambda: None
    on_url: Callable[[str], None] = lambda _: None
    on_data: Callable[[bytes], None] = lambda _: None
    report: ReportProgress = lambda _: None


class _Upload:
    """The body as requests streams it; reports how far it is."""

    def __init__(self, body: RequestBody, callbacks: Callbacks) -> None:
        self._body = body
        self._callbacks = callbacks
        self._report = callbacks.report
        self.stage = "connecting"
        self.prompt = body.prompt

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        self.stage = "uploading"
        total, sent = len(self._body), 0
        for piece in self._body:
            self._report(Progress("uploading", sent, total))
            yield piece
            sent += len(piece)
        self.stage = "waiting"
        self._callbacks.on_sent()
        self._report(Progress("waiting"))


class Gateway:
    """The endpoint of one profile. Holds no connection and no state between calls. Raises `ConfigError`."""

    def __init__(self, profile: Profile, backoff: Backoff | None = None) -> None:
        self.profile = profile
        self._backoff = backoff or Backoff()
        self._url = endpoint(profile)
        self._host = urlsplit(self._url).netloc
        self._auth = authorization(profile.api_key, profile.own_headers)

    def ask(self, body: RequestBody, *, cancel: CancelToken, callbacks: Callbacks) -> Answer:
        """Send `body` once and read the answer. Raises `GatewayError` or `Cancelled`.

        Nothing that leaves this method holds the key, except the addresses in `Answer.images`.
        """
        with self._without_key():
            return redacted(self._ask(body, cancel, callbacks), self.profile)

    def task(self, task: str, *, cancel: CancelToken, report: ReportProgress) -> Answer:
        """The answer of a task that the gateway queued: asked for, which is free, until it is there.

        Raises `TimedOut` after the profile's total time, the `StatusError` with which the task failed, `BadAnswer` if
        the gateway doesn't say where to ask, `Cancelled`.
        """
        with self._without_key():
            return redacted(self._task(task, cancel, report), self.profile)

    def _task(self, task: str, cancel: CancelToken, report: ReportProgress) -> Answer:
        deadline = Deadline(self.profile.total_timeout)
        known = (self.profile.task_path,) if self.profile.task_path else _TASK_PATHS
        paths = [path.replace("{id}", quote(task, safe="")) for path in known]
        status = ""
        for pause in itertools.chain(_TASK_PAUSES, itertools.repeat(_TASK_PAUSES[-1])):
            report(Progress("streaming", text=f"the gateway's task {task}: {status or 'queued'}"))
            try:
                answer = self._ask_task(paths[0], cancel, deadline)
                if not answer.task or answer.images:
                    return answer
                status = answer.task_status
            except NotFound:
                paths.pop(0)
                if not paths:
                    raise BadAnswer(
                        f"The gateway queued the work as its task {task} instead of answering, and it doesn't answer"
                        " where the pack asks for tasks.",
                        "Look the task up at the gateway: it may be billed. Running again asks only for this task.",
                        billed="maybe",
                    ) from None
                continue
            except (ServerFailed, RateLimited, Unreachable, StreamBroken, TimedOut) as error:
                if isinstance(error, StatusError) and error.status == _OK:
                    raise  # the task's own error
                # Asking is free, and the task goes on meanwhile.
                status = error.message
            if deadline.remaining <= pause * self._backoff.scale:
                break
            cancel.wait(pause * self._backoff.scale)
        raise TimedOut(
            f"The gateway's task {task} did not end within {self.profile.total_timeout:g} seconds"
            f" ({status or 'queued'}).",
            "Run again: it goes on waiting for the same task, at no cost.",
            phase="waiting",
        )

    def _ask_task(self, path: str, cancel: CancelToken, deadline: Deadline) -> Answer:
        url = self._url.removesuffix(_COMPLETIONS) + path
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        seconds = min(_FREE_SECONDS, deadline.remaining or _FREE_SECONDS)
        with Exchange(cancel, Deadline(seconds), self.profile.connect_timeout) as exchange:
            stage = "waiting"
            try:
                response = exchange.request("GET", url, headers=headers, auth=self._auth)
                if not 200 <= response.status_code < 300:
                    error = self._status_error(response, exchange)
                    error.billed, error.sure = "maybe", True  # the question was refused; the task may go on
                    raise error
                stage = "streaming"
                reader = self._reader(response, "")
                for piece in exchange.arriving(response):
                    reader.feed(piece)
                return reader.finish()
            except network_exceptions() as error:
                cancel.check()
                raise self._network_error(error, stage, exchange, seconds) from None

    @contextlib.contextmanager
    def _without_key(self) -> Generator[None]:
        try:
            yield
        except GatewayError as error:
            error.redact(self.profile.redact)
            error.answer = _redacted(error.answer, self.profile)
            raise

    def _ask(self, body: RequestBody, cancel: CancelToken, callbacks: Callbacks) -> Answer:
        deadline = Deadline(self.profile.total_timeout)
        upload = _Upload(body, callbacks)
        callbacks.report(Progress("connecting"))
        with Exchange(cancel, deadline, self.profile.connect_timeout, on_connected=callbacks.on_sending) as exchange:
            try:
                response = exchange.request(
                    "POST",
                    self._url,
                    data=upload,
                    headers=self._headers(),
                    auth=self._auth,
                )
                # 201 and 202 are successes too: the body shows whether there is an image.
                if not 200 <= response.status_code < 300:
                    error = self._status_error(response, exchange)
                    if upload.stage == "uploading":
                        error.billed = "no"  # half a request reaches no model, whoever answered
                    raise error
                return self._read(response, exchange, upload, callbacks, cancel)
            except network_exceptions() as error:
                cancel.check()
                raise self._network_error(error, upload.stage, exchange) from None

    def models(self, *, cancel: CancelToken) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body up to 64 KiB) of `GET /v1/models`, which is free.

        Raises `GatewayError` or `Cancelled`.
        """
        return self._free("GET", self._url.removesuffix("/chat/completions") + "/models", None, cancel)

    def refused_request(self, *, cancel: CancelToken) -> tuple[int, Mapping[str, str], bytes]:
        """The same for a POST without a model and without a message: it reaches the endpoint and can't be billed."""
        return self._free("POST", self._url, b"{}", cancel)

    def _free(
        self, method: str, url: str, body: bytes | None, cancel: CancelToken
    ) -> tuple[int, Mapping[str, str], bytes]:
        seconds = min(_FREE_SECONDS, self.profile.total_timeout)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with Exchange(cancel, Deadline(seconds), self.profile.connect_timeout) as exchange:
            stage = "connecting"
            try:
                response = exchange.request(
                    method,
                    url,
                    data=body,
                    headers=headers if body is None else {**headers, "Content-Type": "application/json"},
                    auth=self._auth,
                )
                stage = "streaming"
                return response.status_code, plain_headers(response), _bounded(response, exchange)
            except network_exceptions() as error:
                cancel.check()
                if stage == "connecting" and exchange.connected:
                    stage = "waiting"
                failure = self._network_error(error, stage, exchange, seconds)
                failure.billed = "no"
                raise failure from None

    def _headers(self) -> dict[str, str]:
        accept = "text/event-stream, application/json" if self.profile.stream else "application/json"
        return {"Content-Type": "application/json", "Accept": accept, "Accept-Encoding": "identity"}

    def _read(
        self, response: Any, exchange: Exchange, upload: _Upload, callbacks: Callbacks, cancel: CancelToken
    ) -> Answer:
        upload.stage = "streaming"
        reader = self._reader(response, upload.prompt)
        try:
            for piece in exchange.arriving(response):
                events = reader.feed(piece)
                if not reader.idle:
                    exchange.heard()
                for event in events:
                    self._deliver(event, callbacks)
                    if isinstance(event, ImageData) or (isinstance(event, ImageUrl) and event.certain):
                        # We have the image: don't wait forever for an end marker that some relays never send.
                        exchange.end_when_silent(self._backoff.after_image_seconds)
                if reader.done:
                    break
            return reader.finish()
        except (GatewayError, Cancelled, *network_exceptions()) as error:
            # Whatever broke the stream: an image that had come is paid for and must not be lost.
            salvaged = reader.salvage()
            if salvaged is not None:
                return salvaged
            cancel.check()
            broken = isinstance(error, network_exceptions())
            failure = self._network_error(error, upload.stage, exchange) if broken else error
            if isinstance(failure, GatewayError):
                failure.answer = reader.received
            raise failure from None

    def _reader(self, response: Any, prompt: str) -> AnswerReader:
        return AnswerReader(
            request_id=header_request_id(plain_headers(response)),
            key_is_set=bool(self.profile.api_key),
            base_url=self.profile.base_url,
            prompt=prompt,
        )

    def _deliver(self, event: AnswerEvent, callbacks: Callbacks) -> None:
        if isinstance(event, ImageUrl):
            if event.certain:
                callbacks.on_url(self.profile.redact_url(event.url))
        elif isinstance(event, ImageData):
            if event.final:
                callbacks.on_data(event.data)
        else:
            callbacks.report(Progress("streaming", text=self.profile.redact(event.text)))

    def _status_error(self, response: Any, exchange: Exchange) -> StatusError:
        return status_error(
            response.status_code,
            plain_headers(response),
            _bounded(response, exchange),
            key_is_set=bool(self.profile.api_key),
            now=time.time(),
        )

    def _network_error(
        self, error: Exception, stage: str, exchange: Exchange, seconds: float | None = None
    ) -> GatewayError:
        return network_error(
            error,
            host=self._host,
            stage=stage,
            expired=exchange.expired or exchange.connect_expired,
            connect_timeout=self.profile.connect_timeout,
            seconds=self.profile.total_timeout if seconds is None else seconds,
        )


def redacted(answer: Answer, profile: Profile) -> Answer:
    """`answer` with every text without the key; the addresses of the images as they are."""
    texts = {field.name: getattr(answer, field.name) for field in fields(answer)}
    plain = {name: profile.redact(text) for name, text in texts.items() if isinstance(text, str)}
    return replace(answer, received=_redacted(answer.received, profile), **plain)


def _redacted(data: bytes, profile: Profile) -> bytes:
    return redact_bytes(data, profile.secrets) if data else b""


def _bounded(response: Any, exchange: Exchange) -> bytes:
    """The first 64 KiB of an error's body, or what arrives within 2 seconds: the status says enough."""
    exchange.limit_remaining(_ERROR_BODY_SECONDS)
    body = b""
    try:
        for piece in exchange.arriving(response):
            body += piece
            if len(body) >= _ERROR_BODY_LIMIT:
                break
    except (GatewayError, *network_exceptions()):
        return body
    return body[:_ERROR_BODY_LIMIT]
