"""Listening sockets inherited from a service manager at start: which of them fit the configuration. Pure.

There are two kinds, distinguished by their names (LISTEN_FDNAMES). Sockets of a socket unit have the name of
the bus; they belong to the unit, and the daemon never closes the port. Sockets that the daemon stored before it
was restarted are named BUS.kept (no bus has a dot in its name); those that no longer fit are closed.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cancorderd.supervisor.listeners import ListenRequest

_STORED = ".kept"
"""Suffix of stored sockets' names. Earlier versions of the daemon stored under it, too: do not change it."""


class InheritedSocket(NamedTuple):
    """One inherited socket."""

    bus: str
    stored: bool
    """False if it belongs to a socket unit."""
    covers: frozenset[str]
    """The `listen` addresses that it serves: two if it is a dual-stack socket on ::."""
    port: int
    descriptor: int


def stored_name(bus: str) -> str:
    """Return the name under which the sockets of a bus are stored."""
    return f"{bus}{_STORED}"


def parse_name(name: str) -> tuple[str, bool]:
    """Return the bus, and whether the socket is stored."""
    return name.removesuffix(_STORED), name.endswith(_STORED)


def fitting(inherited: Iterable[InheritedSocket], bus: str, request: ListenRequest) -> list[InheritedSocket]:
    """Return the sockets that the bus can use, one for each address; those of a socket unit come first."""
    own = sorted((sock for sock in inherited if sock.bus == bus), key=lambda sock: sock.stored)
    wanted = {_canonical(address) for address in request.addresses}
    useful = [sock for sock in own if sock.covers & wanted]
    port = request.port or next((sock.port for sock in useful), None)
    found: list[InheritedSocket] = []
    for sock in useful:
        if sock.port == port and not any(sock.covers & other.covers for other in found):
            found.append(sock)
    return found


def uncovered(addresses: Sequence[str], found: Collection[InheritedSocket]) -> list[str]:
    """Return the addresses that still have to be bound."""
    covered = frozenset[str]().union(*(sock.covers for sock in found))
    return [address for address in addresses if _canonical(address) not in covered]


def misfits(
    inherited: Sequence[InheritedSocket], requests: Mapping[str, ListenRequest]
) -> list[InheritedSocket]:
    """Return the sockets that no bus can use."""
    used = {sock.descriptor for bus, request in requests.items() for sock in fitting(inherited, bus, request)}
    return [sock for sock in inherited if sock.descriptor not in used]


def _canonical(address: str) -> str:
    """Return an address as getsockname(2) writes it."""
    host, percent, zone = address.partition("%")
    return f"{ipaddress.ip_address(host)}{percent}{zone}"
