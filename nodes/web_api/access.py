"""Who may use the pack's HTTP routes. Pure: a request's own details in, a denial or None out.

The host has no accounts to log in with, so everything depends on where a request comes from. A page of another site may
make a browser on this computer send requests (hence the checks of Origin, Sec-Fetch-Site and Content-Type), or may
point a name of its own at this computer (DNS rebinding, hence the check of Host). A proxy on this computer makes every
other computer look like this one. Many add no header to say so, but they pass on the Host that the other computer
asked for: only a Host that no other computer could have used counts as this computer.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

ALLOW_VARIABLE = "NANOBANANA_ALLOW_REMOTE_SETTINGS"

# Set by a proxy in front of the host: then the connection's address is the proxy's, not the person's. A browser sends
# no header that begins with x- by itself, and neither does our page: whatever does was added on the way.
_FORWARDED = ("forwarded", "via", "x-", "cf-", "true-client-", "client-ip", "tailscale-", "fly-", "fastly-", "cdn-loop")
# Names that no stranger can register, so no stranger's page can have been loaded from them.
_LOCAL_ENDINGS = (".local", ".lan", ".localhost", ".internal", ".home.arpa")
_OFF = ("", "0", "no", "off", "false")


@dataclass(frozen=True)
class Request:
    """`remote`: the connection's address. `headers`: with lower-case names."""

    method: str
    remote: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Rules:
    """`allowed`: the value of NANOBANANA_ALLOW_REMOTE_SETTINGS: 1, or the names by which the host is reached."""

    multi_user: bool = False
    allowed: str = ""

    @property
    def remote_is_allowed(self) -> bool:
        return self.allowed.strip().lower() not in _OFF

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name.strip().lower() for name in self.allowed.split(",") if name.strip())


@dataclass(frozen=True)
class Denial:
    """`code` is for the page, `message` and `hint` for the person."""

    status: int
    code: str
    message: str
    hint: str = ""


def denial(request: Request, rules: Rules, *, private: bool, shared: bool = False) -> Denial | None:
    """Why this request is not served, or None.

    `private`: it reads or changes settings, or changes the history. `shared`: it reveals nothing about anybody, and is
    served under --multi-user too.
    """
    if rules.multi_user and not shared:
        return Denial(
            403,
            "multi_user",
            "NanoBanana's settings and history are off, because ComfyUI runs with --multi-user.",
            "Set NANOBANANA_BASE_URL and NANOBANANA_API_KEY where ComfyUI is started.",
        )
    if request.method not in ("GET", "HEAD") and _content_type(request) != "application/json":
        return Denial(415, "not_json", "Only JSON is taken here (Content-Type: application/json).")
    if not _same_origin(request):
        return Denial(403, "cross_origin", "This request comes from another site's page.")
    # The history too: a page that points its own name at a ComfyUI in this network must not read anybody's prompts.
    if (not shared or _is_direct(request)) and not _host_is_ours(request, rules):
        return Denial(
            403,
            "host",
            f"ComfyUI was reached under a name that NanoBanana doesn't know: {_host(request)!r}.",
            f"Use its address or localhost, or start it with {ALLOW_VARIABLE}=<that name>.",
        )
    if private and not is_nearby(request) and not rules.remote_is_allowed:
        return Denial(
            403,
            "remote",
            "The settings can be changed on the computer that runs ComfyUI only.",
            "Open ComfyUI there as http://127.0.0.1 (with its port); or set NANOBANANA_BASE_URL and NANOBANANA_API_KEY "
            "where it is started; or start it "
            f"with {ALLOW_VARIABLE}=1, which lets other computers change the settings.",
        )
    return None


def is_nearby(request: Request) -> bool:
    """Whether the request was sent from this computer, to this computer's own loopback.

    A proxy here that hides the Host it was asked for and adds no header can't be told from a person at this computer.
    """
    return _is_direct(request) and _is_loopback_name(_host(request))


def _is_direct(request: Request) -> bool:
    """Whether the connection comes from this computer, and no proxy has left a mark."""
    return _is_loopback(request.remote) and not any(name.startswith(_FORWARDED) for name in request.headers)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site", "").lower()
    # "none": typed into the address bar, which no page can do.
    if site and site != "same-origin" and not (site == "none" and request.method == "GET"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").strip().lower() != ""
    return False


def _host(request: Request) -> str:
    with contextlib.suppress(ValueError):
        return (urlsplit(f"//{request.headers.get('host', '').strip()}").hostname or "").lower()
    return ""


def _host_is_ours(request: Request, rules: Rules) -> bool:
    host = _host(request)
    if _is_loopback_name(host) or _is_address(host) or host in rules.names:
        return True
    if _is_direct(request) and not rules.remote_is_allowed:
        return False
    return bool(host) and ("." not in host or host.endswith(_LOCAL_ENDINGS))


def _is_loopback_name(host: str) -> bool:
    return host == "localhost" or _is_loopback(host)


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text.partition("%")[0])
        return True
    return False


def _is_loopback(text: str) -> bool:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback
    return False
