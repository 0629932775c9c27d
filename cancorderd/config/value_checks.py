"""Checks of single values beyond their type and range. Pure.

`schema` attaches these functions to keys. Each returns the value, normalised, or raises Mistake.
"""

from __future__ import annotations

import ipaddress
import re

from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import shortened, written
from cancorderd.protocol.service_names import (
    MAX_SERVICE_NAME,
    SERVICE_PREFIX,
    least_size,
    unknown_placeholders,
)

DATABASE_SUFFIXES = (".dbc", ".kcd", ".sym", ".arxml")
"""Endings of the names of databases that cantools reads."""
MAX_ITEMS = 1000
"""Items of a list."""
MAX_ADDRESSES = 32
"""Addresses of a bus. Each is a listening socket; a worker receives all of them with one message."""
_MAX_ADDRESS = 64
"""Characters of an address: 45 of an IPv6 address, and the network interface of a link-local one."""
_INTERFACE_NAME = re.compile(r"[!-~]{1,15}")
"""Network interface of a link-local address (IFNAMSIZ)."""
MAX_SOCKET_PATH = 103
"""Longest path of a Unix socket, in bytes, that every system accepts (macOS: 104 with the closing zero)."""


def tuple_of_list(value: object) -> object:
    """Return a list as a tuple, so that settings cannot change; any other value as it is."""
    if not isinstance(value, list):
        return value
    if len(value) > MAX_ITEMS:
        raise Mistake(f"{len(value)} items are listed; the limit is {MAX_ITEMS}", "Remove some of them.")
    return tuple(value)


def address(text: str) -> str:
    """Return the address; a mapped one becomes that of IPv4, since sockets of IPv6 accept IPv6 only here."""
    _, percent, interface = text.partition("%")
    try:
        found = ipaddress.ip_address(text) if len(text) <= _MAX_ADDRESS else None
    except ValueError:
        found = None
    if found is None or (percent and not _INTERFACE_NAME.fullmatch(interface)):
        fact = f"{shortened(written(text))} is not an IP address"
        raise Mistake(fact, 'Use an address of this machine such as "127.0.0.1".')
    return str(getattr(found, "ipv4_mapped", None) or found)


_MAPPED_BITS = 96
"""Length of ::ffff:0:0/96, whose addresses stand for those of IPv4 (RFC 4291, 2.5.5.2)."""


def network(text: str) -> str:
    """Return the network; one of mapped addresses becomes that of IPv4, by which its clients are known."""
    try:
        found = ipaddress.ip_network(text, strict=False) if len(text) <= _MAX_ADDRESS else None
    except ValueError:
        found = None
    if found is None:
        fact = f"{shortened(written(text))} is not a network"
        raise Mistake(fact, 'Use a network such as "192.168.1.0/24", or one address.')
    if "%" in text:
        fact = f"{shortened(written(text))} names an interface, and a network is the same on all"
        raise Mistake(fact, "Remove % and the name.")
    mapped = getattr(ipaddress.ip_interface(text).ip, "ipv4_mapped", None)
    if mapped is None:
        return str(found)
    if found.prefixlen < _MAPPED_BITS:
        fact = f"{written(text)} is wider than ::ffff:0:0/{_MAPPED_BITS}, the addresses of IPv4 within IPv6"
        raise Mistake(fact, 'Use a network of IPv4 such as "192.168.1.0/24", or one of IPv6.')
    return str(ipaddress.ip_network((mapped, found.prefixlen - _MAPPED_BITS), strict=False))


def overlap(first: str, second: str) -> bool:
    """Return whether a port cannot be bound on both addresses. IPv6 sockets accept IPv6 only here."""
    a, b = ipaddress.ip_address(first), ipaddress.ip_address(second)
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def addresses(listed: tuple[str, ...]) -> tuple[str, ...]:
    if not listed:
        raise Mistake("no address is listed", 'Write listen = ["0.0.0.0", "::"] for all.')
    distinct = tuple(dict.fromkeys(listed))
    if len(distinct) > MAX_ADDRESSES:
        fact = f"{len(distinct)} addresses are listed; the limit is {MAX_ADDRESSES}"
        raise Mistake(fact, 'Write "0.0.0.0" and "::" for all.')
    found = [ipaddress.ip_address(text) for text in distinct]
    for whole in (address for address in found if address.is_unspecified):
        for other in found:
            if other != whole and other.version == whole.version:
                first, second = sorted((whole, other), key=found.index)
                raise Mistake(
                    f'"{second}" and "{first}" overlap', "Remove the address that the other includes."
                )
    return distinct


_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_MAX_HOST_NAME = 253
"""Characters of a host name (RFC 1035, 2.3.4)."""


def host_name(name: str) -> str:
    """Return the name in lower case."""
    if len(name) > _MAX_HOST_NAME or not _HOST_NAME.fullmatch(name):
        fact = f"{shortened(written(name))} is not the name of a host"
        raise Mistake(fact, 'Write a name without port or scheme, such as "bench.example.com".')
    return name.lower()


def service_name(name: str) -> str:
    example = f'Write service_name = "{SERVICE_PREFIX} my car".'
    if not name.startswith(SERVICE_PREFIX):
        shown = shortened(written(name))
        raise Mistake(
            f'{shown} does not begin with "{SERVICE_PREFIX}", by which viewers know a logger', example
        )
    if not name.isprintable():
        raise Mistake("the name holds characters that cannot be shown", example)
    if unknown := unknown_placeholders(name):
        raise Mistake(f"{unknown[0]} stands for nothing", "The name may hold {host}, {port} and {bus}.")
    if (size := least_size(name)) > MAX_SERVICE_NAME:
        raise Mistake(f"the name has {size} bytes; Zeroconf carries at most {MAX_SERVICE_NAME}", example)
    return name


def database_file(path: str) -> str:
    if not path.lower().endswith(DATABASE_SUFFIXES):
        fact = f"{shortened(written(path))} ends in none of {' '.join(DATABASE_SUFFIXES)}"
        raise Mistake(fact, "Use a database that cantools reads, such as car.dbc.")
    return path


def absolute_path(path: str) -> str:
    if not path.startswith("/"):
        raise Mistake(f'{shortened(written(path))} does not begin with "/"', "Write the whole path.")
    return path


def socket_path(path: str) -> str:
    if (size := len(absolute_path(path).encode())) > MAX_SOCKET_PATH:
        fact = f"the path has {size} bytes; a Unix socket takes at most {MAX_SOCKET_PATH}"
        raise Mistake(fact, 'Use a shorter one such as "/run/cancorder/control.sock".')
    return path


def server_url(url: str) -> str:
    """Return the URL of a server of the hub. A URL that holds a password is not repeated."""
    from cancorderd.hub.access import server_address  # noqa: PLC0415 - a worker needs neither

    try:
        server_address(url)
    except ValueError as error:
        fact, _, remedy = str(error).partition(". ")
        shown = "the URL" if "@" in url else shortened(written(url))
        raise Mistake(f"{shown} {fact}", remedy) from None
    return url


def gateway_name(name: str) -> str:
    from cancorderd.hub.subjects import is_gateway_name  # noqa: PLC0415

    if not is_gateway_name(name):
        fact = f"{shortened(written(name))} cannot be the name of a gateway"
        raise Mistake(fact, "Use 1 to 64 letters, digits, _ and -.")
    return name
