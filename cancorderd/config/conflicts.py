"""Conflicts between buses: a port, an adapter or a name on the network that two buses want. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.config.problem import shortened, written
from cancorderd.protocol.service_names import filled

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.web_settings import WebSettings


class Conflict(NamedTuple):
    """The value of bus `second` in `key` belongs to bus `first` already. `fact` ends with the first's name."""

    first: str
    second: str
    key: str
    fact: str
    remedy: str


def conflicts(buses: Sequence[BusSettings]) -> list[Conflict]:
    """Return each conflict of a bus with the first bus that has the same. Disabled buses are left out.

    Takes time in proportion to the number of buses and addresses.
    """
    owners: dict[Hashable, tuple[int, BusSettings]] = {}
    found = []
    for at, bus in enumerate(bus for bus in buses if bus.enabled):
        claims = _claims(bus)
        for claim in claims:
            owned = [owners[value] for value in claim.wanted if value in owners]
            if owned:
                _, first = min(owned, key=lambda owner: owner[0])
                fact = f"{shortened(claim.shown)} is also the {claim.relation} of bus.{first.name}"
                found.append(Conflict(first.name, bus.name, claim.key, fact, claim.remedy))
        for claim in claims:
            for value in claim.taken:
                owners.setdefault(value, (at, bus))
    return found


def named_adapters(buses: Sequence[BusSettings]) -> tuple[str, ...]:
    """Return the adapters that enabled buses name; a bus with interface "auto" does not use them."""
    return tuple(sorted({bus.adapter_name for bus in buses if bus.enabled and bus.adapter_name}))


def web_conflict(web: WebSettings, buses: Sequence[BusSettings]) -> Conflict | None:
    """Return the conflict of the page with the first bus that has its port."""
    wanted = set(_sockets(web.port, web.listen)[0])
    for bus in buses:
        if bus.enabled and bus.port is not None and wanted.intersection(_sockets(bus.port, bus.listen)[1]):
            fact = f"{web.port} is also the port of bus.{bus.name}"
            return Conflict(bus.name, "web", "port", fact, "Use another in one of the two.")
    return None


class _Claim(NamedTuple):
    """The use of a value by a bus. Conflicts with every earlier bus that has taken one of the values `wanted`."""

    key: str
    shown: str
    relation: str
    remedy: str
    wanted: list[Hashable]
    taken: list[Hashable]


def _claims(bus: BusSettings) -> list[_Claim]:
    claims = []
    if bus.port is not None:
        remedy = "Use another, or leave the key out for an automatic one."
        wanted, taken = _sockets(bus.port, bus.listen)
        claims.append(_Claim("port", written(bus.port), "port", remedy, wanted, taken))
    if (adapter := bus.adapter_identity) is not None:
        key, shown, relation, remedy = bus.adapter_claim
        values: list[Hashable] = [("adapter", adapter)]
        claims.append(_Claim(key, shown, relation, remedy, values, values))
    if (name := _announced(bus)) is not None:
        remedy = "Use another, or leave the key out for the default one."
        values = [("name", name)]
        claims.append(_Claim("service_name", written(bus.service_name), "name", remedy, values, values))
    return claims


def _sockets(port: int, listen: Sequence[str]) -> tuple[list[Hashable], list[Hashable]]:
    """Return the values that another bus must not have taken, and those that this bus takes (see `overlap`)."""
    wanted: list[Hashable] = []
    taken: list[Hashable] = []
    for text in listen:
        address = ipaddress.ip_address(text)
        own, all_of_version = (port, address), (port, address.version, "all")
        any_of_version = (port, address.version, "any")
        wanted += [any_of_version] if address.is_unspecified else [own, all_of_version]
        taken += [own, any_of_version, *([all_of_version] if address.is_unspecified else [])]
    return wanted, taken


def _announced(bus: BusSettings) -> str | None:
    """Return the name on the network in lower case, since DNS ignores case; None if it differs in any case.

    Buses share their host; an automatic port is not known yet, and different from the others.
    """
    name = bus.service_name
    if not bus.zeroconf or not name or "{port}" in name:
        return None
    return filled(name, host="{host}", bus=bus.name).lower()
