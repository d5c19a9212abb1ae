"""Which addresses a download may connect to. Pure: names and addresses in, a verdict out.

The URL of a result is named by a server, so it is treated as hostile: an image must not be a way into the
computer, the home network or a cloud machine's metadata service.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ...errors import ConfigError

_LOCAL_NAMES = (".localhost", ".local", ".internal")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# ::a.b.c.d, deprecated but still understood by some systems; :: and ::1 are something else.
_COMPATIBLE = ipaddress.ip_network("::/96")
# Reserved for benchmarks, so nobody's machine is there. Proxy programs that work as a network card (Clash,
# Surge) give every name an address in this range: refusing it would refuse every download behind them.
_STAND_INS = ipaddress.ip_network("198.18.0.0/15")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Origin = tuple[str, str, int]


class BlockedAddress(Exception):
    """`str(error)` tells a person what about the URL is not allowed. `private`: a setting can allow it."""

    def __init__(self, reason: str, *, private: bool = False) -> None:
        super().__init__(reason)
        self.private = private


def origin(url: str) -> Origin:
    """(scheme, host, port) of an http or https URL. Raises `BlockedAddress` if it has none."""
    parts = _split(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise BlockedAddress("its address holds characters that an address can't have")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if the port is not a number below 65536
    except ValueError as error:
        raise BlockedAddress("its address is malformed") from error
    if parts.scheme not in _DEFAULT_PORTS:
        scheme = parts.scheme[:20] or "nothing"
        raise BlockedAddress(f"its address begins with {scheme}: and not with http: or https:")
    if "@" in parts.netloc:
        raise BlockedAddress("its address holds a user name")
    if not parts.hostname:
        raise BlockedAddress("its address names no host")
    return parts


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped, 6to4, Teredo or NAT64 address, else `address` itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    compatible = address in _COMPATIBLE and int(address) > 1
    if compatible or any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _literal(host: str) -> Address | None:
    """The address that `host` is, including the forms that the system's look-up accepts: 2130706433, 0x7f.1."""
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class DownloadPolicy:
    """`home`: the base URL's own origin, which the user configured and which may therefore be private.

    `private_hosts`: further host names, or `host:port`, that the user allows. Link-local addresses, where cloud
    machines keep their credentials, stay refused for all of them.
    """

    home: Origin | None = None
    private_hosts: tuple[str, ...] = ()

    @classmethod
    def for_gateway(cls, base_url: str, private_hosts: Sequence[str] = ()) -> DownloadPolicy:
        try:
            home = origin(base_url)
        except BlockedAddress as error:
            raise ConfigError(f"The base URL can't be used: {error}.") from error
        return cls(home, tuple(host.strip().lower() for host in private_hosts if host.strip()))

    def check_url(self, url: str, *, came_from: str = "") -> None:
        """Raise `BlockedAddress` for a URL that may not be fetched, whatever it resolves to."""
        parts = _split(url)
        if came_from and urlsplit(came_from).scheme == "https" and parts.scheme != "https":
            raise BlockedAddress("it was redirected from https to http")
        target = origin(url)
        host = target[1]
        literal = _literal(host)
        if literal is not None:
            self.check_address(str(literal), target)
            if literal in _STAND_INS and not self._trusted(target):
                raise BlockedAddress(f"its host {host} is a private address ({literal})", private=True)
        elif f".{host}".rstrip(".").endswith(_LOCAL_NAMES) and not self._trusted(target):
            # A proxy resolves the name itself, and may run on this very machine.
            raise BlockedAddress(f"its host {host} is this computer or its network", private=True)

    def check_address(self, address: str, target: Origin) -> None:
        """Raise `BlockedAddress` when `address`, to which `target`'s host resolved, may not be connected to."""
        parsed = embedded_ipv4(ipaddress.ip_address(address.split("%", 1)[0]))
        if parsed.is_link_local:
            raise BlockedAddress(f"its host {target[1]} is a link-local address ({parsed})")
        if parsed.is_multicast or parsed.is_unspecified:
            raise BlockedAddress(f"its host {target[1]} is no single machine ({parsed})")
        if self._trusted(target):
            return
        if parsed in _STAND_INS:
            return
        if not parsed.is_global or parsed.is_reserved or getattr(parsed, "is_site_local", False):
            raise BlockedAddress(f"its host {target[1]} is a private address ({parsed})", private=True)

    def _trusted(self, target: Origin) -> bool:
        _, host, port = target
        return target == self.home or host in self.private_hosts or f"{host}:{port}" in self.private_hosts
