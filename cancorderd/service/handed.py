"""Listening sockets that a service manager hands over at start, and which of them fit the configuration. Pure.

Two kinds, told apart by their name (LISTEN_FDNAMES): those of a socket unit are named like the bus, belong to
the unit and are never closed for it; those that this daemon stored before it was restarted are named
BUS.kept (no bus has a dot in its name), and those that fit no more are closed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_KEPT = ".kept"


class Handed(NamedTuple):
    """One socket. `covers`: the `listen` addresses that it serves; two for a dual-stack socket on ::."""

    bus: str
    kept: bool
    covers: frozenset[str]
    port: int
    descriptor: int


@dataclass(frozen=True)
class Wish:
    """What a bus's section says; `port` is None where any port will do."""

    listen: Sequence[str]
    port: int | None


def kept_name(bus: str) -> str:
    """The name under which a bus's sockets are stored."""
    return f"{bus}{_KEPT}"


def named(name: str) -> tuple[str, bool]:
    """The bus, and whether the socket is a stored one."""
    return name.removesuffix(_KEPT), name.endswith(_KEPT)


def fitting(handed: Iterable[Handed], bus: str, wish: Wish) -> list[Handed]:
    """Those that the bus can take, each address once; those of a socket unit before stored ones."""
    own = sorted((one for one in handed if one.bus == bus), key=lambda one: one.kept)
    listen = {_canonical(address) for address in wish.listen}
    useful = [one for one in own if one.covers & listen]
    port = wish.port or next((one.port for one in useful), None)
    found: list[Handed] = []
    for one in useful:
        if one.port == port and not any(one.covers & other.covers for other in found):
            found.append(one)
    return found


def missing(listen: Sequence[str], found: Collection[Handed]) -> list[str]:
    """The addresses that still have to be bound."""
    covered = frozenset[str]().union(*(one.covers for one in found))
    return [address for address in listen if _canonical(address) not in covered]


def misfits(handed: Sequence[Handed], wishes: Mapping[str, Wish]) -> list[Handed]:
    """Those that no bus takes."""
    taken = {one.descriptor for bus, wish in wishes.items() for one in fitting(handed, bus, wish)}
    return [one for one in handed if one.descriptor not in taken]


def _canonical(address: str) -> str:
    """An address as getsockname(2) tells it."""
    host, percent, zone = address.partition("%")
    return f"{ipaddress.ip_address(host)}{percent}{zone}"
