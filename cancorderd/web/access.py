"""Who may ask for what: the host and origin of a request, its network, its password or token. Pure.

A page of another site that a browser shows must reach nothing here: it can send requests to this machine, under a
name of its own that it lets point here (DNS rebinding), and with the password that the browser remembers.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_CREDENTIALS = 1024
"""Characters of an Authorization header that are looked at."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def host_of(header: str) -> str:
    """Return the name or address of a Host header in lower case, without port and brackets."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def own_names(host_name: str, hosts: Iterable[str]) -> frozenset[str]:
    """Return the names under which this machine may be asked, besides its addresses."""
    short = host_name.lower().partition(".")[0]
    return frozenset({"localhost", host_name.lower(), short, f"{short}.local", *hosts} - {"", ".local"})


def is_own_host(header: str, names: frozenset[str]) -> bool:
    """Return whether a Host header means this machine: by an address, or by one of `names`."""
    host = host_of(header)
    if host.rstrip(".") in names:
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_own_origin(origin: str, host_header: str) -> bool:
    """Return whether a request comes from a page of this host and port (RFC 6454, 6.1)."""
    scheme, separator, place = origin.strip().lower().partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return False
    default = _DEFAULT_PORTS[scheme]
    return place.removesuffix(default) == host_header.strip().lower().removesuffix(default)


class Networks:
    """Networks from which connections are accepted; none listed: all."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in allow]

    def allow(self, address: str) -> bool:
        if not self._networks:
            return True
        peer = ipaddress.ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


def neighbourhood(address: str) -> str:
    """Return whatever one person can have of addresses: an IPv4 address, or the /64 of an IPv6 address."""
    peer = ipaddress.ip_address(address.partition("%")[0])
    peer = getattr(peer, "ipv4_mapped", None) or peer
    if peer.version == 4 or peer.is_loopback:
        return str(peer)
    return str(ipaddress.ip_network((peer, 64), strict=False))


class Credentials(NamedTuple):
    """The content of an Authorization header; the other is empty."""

    password: str = ""
    token: str = ""


def credentials(header: str) -> Credentials:
    """Return the password (RFC 7617) or the token (RFC 6750) of an Authorization header, or neither."""
    scheme, _, text = header[:_MOST_CREDENTIALS].partition(" ")
    text = text.strip()
    match scheme.lower():
        case "bearer":
            return Credentials(token=text)
        case "basic":
            try:
                decoded = base64.b64decode(text, validate=True).decode()
            except (binascii.Error, ValueError):
                return Credentials()
            return Credentials(password=decoded.partition(":")[2])
    return Credentials()


class Throttle:
    """Wrong passwords: how many a neighbourhood may try. Times are seconds on the monotonic clock."""

    FREE = 5
    """Tries in a row without delay."""
    EVERY_S = 12.0
    """Time for each further try: five a minute."""
    MOST = 1000
    """Neighbourhoods that are remembered; past it, the oldest is forgotten."""

    def __init__(self) -> None:
        self._due_s: dict[str, float] = {}
        """Time at which all tries of a neighbourhood are free again."""

    def wait_s(self, neighbour: str, now_s: float) -> float:
        """Return the time until this neighbourhood may try again; 0: at once."""
        return max(0.0, self._due_s.get(neighbour, now_s) - (self.FREE - 1) * self.EVERY_S - now_s)

    def failed(self, neighbour: str, now_s: float) -> None:
        """Count a wrong password."""
        due_s = max(self._due_s.pop(neighbour, now_s), now_s) + self.EVERY_S
        while len(self._due_s) >= self.MOST:
            del self._due_s[next(iter(self._due_s))]
        self._due_s[neighbour] = due_s
