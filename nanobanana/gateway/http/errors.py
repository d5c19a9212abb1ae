"""What went wrong on the network, as an error of our own tree.

The class of the error decides whether a call may be sent again, so it follows from how far the request had got,
never from the exception's text.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

from ...errors import BadAnswer, Billed, ConfigError, GatewayError, StreamBroken, TimedOut, Unreachable

_E = TypeVar("_E", bound=BaseException)
Stage = str  # connecting, uploading, waiting, streaming


def network_exceptions() -> tuple[type[Exception], ...]:
    """What requests, urllib3 and the socket raise when the network fails."""
    import http.client

    import requests
    import urllib3

    return (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it wraps: causes, contexts, and the arguments that requests and urllib3 wrap with."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def find(error: BaseException, kind: type[_E]) -> _E | None:
    """The first of `kind` among what `error` wraps."""
    return next((item for item in _chain(error) if isinstance(item, kind)), None)


def wrong_setting(error: BaseException, host: str) -> ConfigError | None:
    """The error of this computer's own settings for proxies and certificates, which no further try can cure."""
    from requests.exceptions import InvalidProxyURL, InvalidSchema
    from urllib3.exceptions import LocationParseError, ProxySchemeUnknown

    if find(error, InvalidSchema):
        # The only unknown scheme that gets this far is that of a SOCKS proxy.
        return ConfigError(
            f"{host} is to be reached through a SOCKS proxy, which needs the Python package PySocks.",
            "Install PySocks into ComfyUI's Python, or set HTTPS_PROXY to the proxy's http:// address.",
        )
    if find(error, InvalidProxyURL) or find(error, ProxySchemeUnknown) or find(error, LocationParseError):
        return ConfigError(
            f"The address of the proxy on the way to {host} can't be used.",
            "Set HTTPS_PROXY and HTTP_PROXY to an address like http://proxy.example:3128, or remove them.",
        )
    missing = next((str(item) for item in _chain(error) if "TLS CA certificate bundle" in str(item)), "")
    if missing:
        path = missing.rpartition("invalid path: ")[2]
        return ConfigError(
            f"The file with certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names is not there: {path}.",
            "Set the variable to a file that exists, or remove it, and start ComfyUI again.",
        )
    return None


def describe(error: BaseException, host: str) -> tuple[str, str]:
    """(what happened, one thing to do) for a connection that could not be made."""
    from requests.exceptions import ProxyError
    from urllib3.exceptions import ProxyError as PoolProxyError

    if find(error, ProxyError) or find(error, PoolProxyError) or _is_socks(error):
        return (
            f"The proxy on the way to {host} did not let the request through{_proxy_status(error)}.",
            "Check HTTPS_PROXY and HTTP_PROXY, or add the host to NO_PROXY.",
        )
    if certificate := _certificate_problem(error):
        return (
            f"The certificate of {host} was not accepted: {certificate}.",
            "Check the base URL and this computer's clock; behind a company's proxy, set REQUESTS_CA_BUNDLE.",
        )
    if find(error, ssl.SSLError):
        return (
            f"No secure connection to {host} could be made.",
            "Check whether the base URL should begin with http:// instead of https://.",
        )
    if find(error, socket.gaierror):
        return f"There is no host named {host}.", "Check the base URL and the internet connection."
    if find(error, ConnectionRefusedError):
        return f"{host} refused the connection.", "Check the base URL and its port, and whether the gateway is running."
    return f"{host} could not be reached.", "Check the internet connection and the base URL, then run again."


def network_error(
    error: BaseException, *, host: str, stage: Stage, expired: bool, connect_timeout: float, seconds: float
) -> GatewayError:
    """The error of our tree for a request to `host` that failed in `stage`; `seconds` is the total timeout.

    connecting, uploading: the gateway never had the whole request, so it wasn't billed. Later: it may have been.
    """
    if stage == "connecting":
        if find(error, TimeoutError) or expired or _timed_out(error):
            return TimedOut(
                f"Connecting to {host} took longer than {min(connect_timeout, seconds):g} seconds.",
                "Check the base URL and the internet connection.",
                phase=stage,
                billed="no",
            )
        message, hint = describe(error, host)
        return Unreachable(message, hint)
    billed: Billed = "no" if stage == "uploading" else "maybe"
    if expired or _timed_out(error):
        what = {"uploading": "take the whole request", "waiting": "begin its answer", "streaming": "finish its answer"}
        return TimedOut(
            f"{host} did not {what[stage]} within {seconds:g} seconds.",
            "Raise the total timeout in Settings > NanoBanana, or try a smaller model.",
            phase=stage,
            billed=billed,
        )
    if stage == "uploading":
        return Unreachable(
            f"The connection to {host} was lost while the request was being sent.",
            "Check the internet connection; if it happens again, send fewer or smaller images.",
        )
    if is_no_http(error):
        return BadAnswer(
            f"{host} did not send an HTTP answer.",
            "Check the base URL: another kind of server may listen there.",
            billed="maybe",
        )
    what = "before its answer began" if stage == "waiting" else "before its answer was whole"
    return StreamBroken(
        f"{host} closed the connection {what}.",
        "Running again asks, and may pay, once more; the gateway's own usage page tells whether this call was charged.",
        billed="maybe",
    )


def _certificate_problem(error: BaseException) -> str:
    if refused := find(error, ssl.SSLCertVerificationError):
        return refused.verify_message
    # urllib3 before 2 compares the names itself, and where this class of its own is changed with its release.
    return next((str(item) for item in _chain(error) if type(item).__name__ == "CertificateError"), "")


def _timed_out(error: BaseException) -> bool:
    from requests.exceptions import Timeout
    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import TimeoutError as PoolTimeout

    # urllib3 counts every connection that could not be made among its timeouts, even a refused one.
    kinds = (TimeoutError, Timeout, PoolTimeout)
    return any(isinstance(item, kinds) and not isinstance(item, NewConnectionError) for item in _chain(error))


def is_no_http(error: BaseException) -> bool:
    """Whether something came that was not HTTP; a connection that ended early doesn't count."""
    from http.client import HTTPException, IncompleteRead, RemoteDisconnected

    failure = find(error, HTTPException)
    return failure is not None and not isinstance(failure, (RemoteDisconnected, IncompleteRead))


def _is_socks(error: BaseException) -> bool:
    """PySocks is an optional library: its errors are recognised by their module's name."""
    return any(type(item).__module__ == "socks" for item in _chain(error))


def _proxy_status(error: BaseException) -> str:
    """The proxy's status, if it answered with one."""
    for item in _chain(error):
        status = re.search(r"Tunnel connection failed: (\d{3})", str(item))
        if status:
            return f" (it answered {status.group(1)})"
    return ""
