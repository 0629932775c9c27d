"""The Zeroconf record of a bus: its names, addresses and text, in the sizes that DNS takes. Pure.

`announcer` puts the records on the network. Settings, host names and adapters contain any text; no text may make
a record that cannot be sent, since one packet answers for all buses.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.printable import printable
from cancorderd.protocol.service_names import (
    DEFAULT_SERVICE_NAME,
    MAX_SERVICE_NAME,
    SERVICE_TYPE,
    cut,
    filled,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.web_settings import WebSettings

_LABEL_BYTES = MAX_SERVICE_NAME
"""Longest label of a name (RFC 1035, 2.3.4)."""
_TEXT_BYTES = 255
"""Longest KEY=VALUE of a TXT record (RFC 6763, 6.1)."""
_PAGE_TYPES = {False: "_http._tcp.local.", True: "_https._tcp.local."}
"""Service types of the page for browsers, without and with TLS (RFC 6335, 5.2)."""
_EMPTY_LABELS = re.compile(r"\.(?=\.|$)|^\.")
"""Dots at which a name would hold an empty label, which ends a name."""


class Identity(NamedTuple):
    """The program in whose name buses are announced."""

    process: str = "cancorderd"
    service_name: str = DEFAULT_SERVICE_NAME
    """Name of a bus without `service_name`."""
    text: tuple[tuple[str, str], ...] = ()
    """Items that replace those of a bus in its TXT record."""


class Machine(NamedTuple):
    """The machine on which buses are announced."""

    hostname: str
    """Its host name, which other machines may have, too. Any text."""
    code: str
    """Eight hexadecimal digits, which no other machine has."""


class ServiceRecord(NamedTuple):
    """Zeroconf record of a bus, or of the page for browsers."""

    instance: str
    port: int
    addresses: tuple[str, ...]
    text: tuple[tuple[str, str], ...]
    host: str
    """Owner of the addresses. Browsers merge the addresses of all records with the same host."""
    service: str = SERVICE_TYPE


def service_record(
    settings: BusSettings,
    port: int,
    machine: Machine,
    own_addresses: Sequence[str],
    identity: Identity = Identity(),  # noqa: B008 - never changed
) -> ServiceRecord:
    """Return the record of a bus that listens on `port`. The TXT record has the keys of the ancestor."""
    hostname = printable(machine.hostname.partition(".")[0]) or "localhost"
    text = {
        "system": hostname,
        "process": identity.process,
        "bus": settings.name,
        "interface": settings.interface,
        "channel": "" if settings.channel is None else str(settings.channel),
        "bitrate": str(settings.bitrate),
        "port": str(port),
    }
    text |= dict(identity.text)
    return ServiceRecord(
        _instance(settings.service_name or identity.service_name, hostname, port, settings.name),
        port,
        reachable_addresses(settings.listen, own_addresses),
        tuple((key, cut(printable(value), _TEXT_BYTES - len(f"{key}="))) for key, value in text.items()),
        _host(hostname, machine.code, port, settings.listen),
    )


def page_record(settings: WebSettings, machine: Machine, own_addresses: Sequence[str]) -> ServiceRecord:
    """Return the record of the page for browsers."""
    hostname = printable(machine.hostname.partition(".")[0]) or "localhost"
    return ServiceRecord(
        _instance("CAN buses of {host}:{port}", hostname, settings.port),
        settings.port,
        reachable_addresses(settings.listen, own_addresses),
        (("path", "/"),),
        _host(hostname, machine.code, settings.port, settings.listen),
        _PAGE_TYPES[settings.tls],
    )


def numbered(instance: str, number: int) -> str:
    """Return the instance name to use if `number - 1` others have the name already."""
    if number == 1:
        return instance
    suffix = f"-{number}"
    return cut(instance, _LABEL_BYTES - len(suffix)) + suffix


def reachable_addresses(listen: Iterable[str], own: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses under which `listen` can be reached; `own` are all addresses of this machine.

    Loopback addresses are included only if there are no others.
    """
    found: list[str] = []
    for text in listen:
        wanted = _ip_address(text)
        found += [
            address
            for address in own
            if (other := ipaddress.ip_address(address)) == wanted
            or (wanted.is_unspecified and other.version == wanted.version)
        ]
    outside = [address for address in dict.fromkeys(found) if not ipaddress.ip_address(address).is_loopback]
    return tuple(outside or dict.fromkeys(found))


def _instance(name: str, hostname: str, port: int, bus: str = "") -> str:
    return _EMPTY_LABELS.sub("_", filled(printable(name), host=hostname, port=port, bus=printable(bus)))


def _host(hostname: str, code: str, port: int, listen: Sequence[str]) -> str:
    """Return the owner of a bus's addresses.

    It is not <hostname>.local: another responder of this machine, such as avahi, owns that name and would take
    different addresses under it for a conflict. Nor do two machines have the same: cloned ones share the host
    name. A bus that does not listen on every address has a host of its own, since its addresses are others.
    """
    everywhere = len(listen) > 1 and all(_ip_address(address).is_unspecified for address in listen)
    ending = f"-{code}" if everywhere else f"-{code}-{port}"
    start = "cancorderd-"
    name = hostname.replace(" ", "-").replace("?", "-")
    return f"{start}{cut(name, _LABEL_BYTES - len(start) - len(ending))}{ending}.local."


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address without its zone."""
    return ipaddress.ip_address(text.partition("%")[0])
