"""Fetching a result: five tries, every redirect checked, bytes counted as they arrive, no credentials by default."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from ..cancel import CancelToken, Deadline
from ..errors import ConfigError, DownloadFailed, GatewayError
from ..progress import Progress, ReportProgress
from .answer.links import URL_CHARACTERS
from .http.connection import LookUp, system_look_up
from .http.errors import describe, find, is_no_http, network_exceptions
from .http.exchange import Exchange, authorization, ends_with_connection
from .http.url_policy import BlockedAddress, DownloadPolicy, origin
from .retry import DOWNLOAD_TRIES, Backoff

MOST_BYTES = 128 * 1024 * 1024
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_WORTH_ANOTHER_TRY = (403, 404, 408, 425, 429)
_RUN_AGAIN = "Run again: the download is tried again, at no cost."
_ALLOW = (
    "If that is a machine of yours, add its host to the private hosts of the profile in Settings > NanoBanana and"
    " run again: it costs nothing."
)
_BY_HAND = "Open that address in a browser to save the image; it is paid for."
_TELL = "Tell the gateway's support about this address, and change the seed to ask, and pay, for a new image."


class _Unfetched(Exception):
    """One try that failed. `again`: whether another one may help. `hint`: what the person can do."""

    def __init__(self, reason: str, *, again: bool, hint: str = _RUN_AGAIN) -> None:
        super().__init__(reason)
        self.again = again
        self.hint = hint

    @classmethod
    def blocked(cls, error: BlockedAddress) -> _Unfetched:
        """The URL policy forbids this request."""
        return cls(f"that is not allowed, since {error}", again=False, hint=_ALLOW if error.private else _TELL)


def _redirected(url: str, location: str) -> str:
    """Where a `Location` leads from `url`. Its bytes are UTF-8, which HTTP libraries read as Latin-1."""
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    try:
        return quote(urljoin(url, location.strip()), safe=URL_CHARACTERS)
    except ValueError:
        raise _Unfetched("it was redirected to an address that can't be used", again=False, hint=_TELL) from None


class Downloader:
    """Downloads one gateway's results. `seconds` bounds a whole try; `most_bytes` is the largest image accepted.

    `redact_url` takes the key out of a URL that is to be shown. `at_home`: the `auth` of requests to the gateway's own
    origin, and to no other, whatever redirects say; None sends none. `is_image` sniffs bytes. `is_whole` tells whether
    an image's own end is there; it is called if the server gave no length, because a connection cut early then looks
    like the end of the image.
    """

    def __init__(
        self,
        policy: DownloadPolicy,
        *,
        is_image: Callable[[bytes], bool],
        is_whole: Callable[[bytes], bool],
        connect_timeout: float,
        seconds: float,
        backoff: Backoff | None = None,
        most_bytes: int = MOST_BYTES,
        look_up: LookUp = system_look_up,
        redact_url: Callable[[str], str] = str,
        at_home: Callable[[Any], Any] | None = None,
    ) -> None:
        self._policy = policy
        self._is_image = is_image
        self._is_whole = is_whole
        self._connect_timeout = connect_timeout
        self.seconds = seconds
        self._backoff = backoff or Backoff()
        self._most_bytes = most_bytes
        self._look_up = look_up
        self.redact_url = redact_url
        self._at_home = at_home

    def fetch(
        self,
        url: str,
        *,
        cancel: CancelToken,
        report: ReportProgress,
        tries: int = DOWNLOAD_TRIES,
        deadline: Deadline | None = None,
    ) -> bytes:
        """The image's bytes, unchanged. Raises `DownloadFailed` with the reason of the last try, or `Cancelled`.

        `deadline`: no try begins after it, and one that is running ends with it.
        """
        reason, hint = "there was no time left for it", _RUN_AGAIN
        for attempt in range(1, tries + 1):
            seconds = min(self.seconds, deadline.remaining if deadline else self.seconds)
            if not seconds:
                break
            try:
                return self._try(url, cancel, report, seconds)
            except _Unfetched as failure:
                if attempt == 1 or not (deadline and deadline.passed):
                    reason, hint = str(failure), failure.hint
                if not failure.again or attempt == tries:
                    break
                self.pause(attempt, reason, cancel, report)
        raise DownloadFailed(
            f"The image was made, but could not be downloaded: {reason}. It is at {self.redact_url(url)[:500]}",
            hint,
            url=self.redact_url(url),
            reason=reason,
        )

    def pause(self, attempt: int, reason: str, cancel: CancelToken, report: ReportProgress) -> None:
        """Wait before download number `attempt` + 1, and say why. Raises `Cancelled`."""
        report(Progress("pausing", attempt, DOWNLOAD_TRIES, text=f"the download failed: {reason}"))
        cancel.wait(self._backoff.before_download(attempt))

    def _try(self, url: str, cancel: CancelToken, report: ReportProgress, seconds: float) -> bytes:
        here = url
        came_from = ""
        with_deadline = Deadline(seconds)
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._get(here, came_from, cancel, with_deadline, report)
            if isinstance(answer, bytes):
                return answer
            came_from, here = here, _redirected(here, answer)
        raise _Unfetched(f"it was redirected more than {_MOST_REDIRECTS} times", again=False)

    def _get(
        self, url: str, came_from: str, cancel: CancelToken, deadline: Deadline, report: ReportProgress
    ) -> bytes | str:
        """The bytes, or the redirect's target."""
        try:
            self._policy.check_url(url, came_from=came_from)
            target = origin(url)
            if target != self._policy.home and self.redact_url(url) != url:
                raise BlockedAddress("it would send the key to another server")
        except BlockedAddress as blocked:
            raise _Unfetched.blocked(blocked) from None

        def check(host: str, port: int, addresses: list[str]) -> None:
            # The address we connect to counts, not how we parse the URL.
            for address in addresses:
                self._policy.check_address(address, (target[0], host.lower(), port))

        report(Progress("downloading"))
        with Exchange(cancel, deadline, self._connect_timeout, check, self._look_up) as exchange:
            try:
                response = exchange.request(
                    "GET",
                    url,
                    idle_seconds=self._backoff.idle_seconds,
                    headers={"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
                    auth=self._at_home if self._at_home and target == self._policy.home else authorization(""),
                )
                if response.status_code in _REDIRECTS and response.headers.get("Location"):
                    return response.headers["Location"]
                return self._body(response, exchange, report)
            except BlockedAddress as blocked:
                raise _Unfetched.blocked(blocked) from None
            except ConfigError as error:
                raise _Unfetched(error.message, again=False, hint=error.hint) from None
            except GatewayError as error:
                raise _Unfetched(error.message, again=True) from None
            except network_exceptions() as error:
                cancel.check()
                raise _Unfetched(self._reason(error, url, exchange), again=not exchange.expired) from None

    def _body(self, response: Any, exchange: Exchange, report: ReportProgress) -> bytes:
        status = response.status_code
        if status != 200:
            raise _Unfetched(f"its server answered {status}", again=status in _WORTH_ANOTHER_TRY or status >= 500)
        total = int(length) if (length := response.headers.get("Content-Length", "")).isdigit() else 0
        if total > self._most_bytes:
            raise _Unfetched(
                f"it is {total / 1e6:.0f} MB, more than {self._most_bytes / 1e6:.0f} MB", again=False, hint=_BY_HAND
            )
        pieces: list[bytes] = []
        got = 0
        for piece in exchange.arriving(response):
            pieces.append(piece)
            got += len(piece)
            if got > self._most_bytes:
                raise _Unfetched(f"it is more than {self._most_bytes / 1e6:.0f} MB", again=False, hint=_BY_HAND)
            report(Progress("downloading", got, total))
        data = b"".join(pieces)
        if not self._is_image(data):
            what = "nothing" if not data else "something that is no image"
            raise _Unfetched(f"its server sent {what}", again=True)
        if ends_with_connection(response) and not self._is_whole(data):
            raise _Unfetched("the connection was closed before the image was whole", again=True)
        return data

    def _reason(self, error: Exception, url: str, exchange: Exchange) -> str:
        host = urlsplit(url).netloc
        if exchange.expired:
            return f"{host} took longer than {round(exchange.seconds, 1):g} seconds"
        if find(error, TimeoutError) is not None:
            waited = self._backoff.idle_seconds if exchange.connected else self._connect_timeout
            return f"{host} sent nothing for {waited:g} seconds"
        if not exchange.connected:
            return describe(error, host)[0].rstrip(".")
        if is_no_http(error):
            return f"{host} did not send an HTTP answer"
        return f"{host} closed the connection before the image was whole"
