"""What one value must satisfy beyond its type and range, in words of its own. Pure.

`model` attaches these to its keys; each returns the value, normalised, or raises `mistake`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePath

from pydantic_core import PydanticCustomError

from cancorderd.config.problem import written
from cancorderd.wire import SERVICE_PREFIX

MAX_SERVICE_NAME = 63
"""Bytes of one DNS label (RFC 6763, 4.1.1)."""
MAX_SOCKET_PATH = 103
"""Bytes of a Unix socket's path that every system takes (macOS: 104 with the closing zero)."""

RESERVED_OPTIONS = ("interface", "channel", "bitrate", "fd", "can_filters")
"""Arguments of can.Bus that follow from keys of the bus, so that `options` must not repeat them."""


def mistake(what: str, remedy: str, key: str = "") -> PydanticCustomError:
    """A check's own wording; `key` is the culprit where the check looks at several keys."""
    return PydanticCustomError("mistake", "{what}. {remedy}", {"what": what, "remedy": remedy, "key": key})


def unchanging(value: object) -> object:
    """A list as a tuple, so that a section stays as it was read."""
    return tuple(value) if isinstance(value, list) else value


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        what = f'"{text}" is not an IP address'
        raise mistake(what, 'Use an address of this machine such as "127.0.0.1".') from None


def network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        what = f'"{text}" is not a network'
        raise mistake(what, 'Use a network such as "192.168.1.0/24", or one address.') from None


def overlap(one: str, other: str) -> bool:
    """Whether one port cannot be bound on both addresses: IPv6 sockets here take IPv6 only."""
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def addresses(listed: tuple[str, ...]) -> tuple[str, ...]:
    if not listed:
        raise mistake("no address is listed", 'Write listen = ["0.0.0.0", "::"] for all.')
    distinct = tuple(dict.fromkeys(listed))
    for at, one in enumerate(distinct):
        for other in distinct[:at]:
            if overlap(one, other):
                raise mistake(f'"{one}" and "{other}" overlap', "Remove the one that the other includes.")
    return distinct


def service_name(name: str) -> str:
    example = f'Write service_name = "{SERVICE_PREFIX} my car".'
    if not name.startswith(SERVICE_PREFIX):
        raise mistake(
            f'"{name}" does not begin with "{SERVICE_PREFIX}", by which viewers know a logger', example
        )
    if not name.isprintable():
        raise mistake("the name holds characters that cannot be shown", example)
    if (size := len(name.encode())) > MAX_SERVICE_NAME:
        raise mistake(f"the name has {size} bytes; Zeroconf carries at most {MAX_SERVICE_NAME}", example)
    return name


def absolute(path: str) -> str:
    if not PurePath(path).is_absolute():
        raise mistake(f'"{path}" does not begin with "/"', "Write the whole path.")
    return path


def socket_path(path: str) -> str:
    if (size := len(absolute(path).encode())) > MAX_SOCKET_PATH:
        what = f"the path has {size} bytes; a Unix socket takes at most {MAX_SOCKET_PATH}"
        raise mistake(what, 'Use a shorter one such as "/run/cancorder/control.sock".')
    return path


def registers(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{4,8}", text):
        raise mistake(f'"{text}" is not 4 to 8 hexadecimal digits', 'Write btr = "031C" or such.')
    return text.upper()


def channel(value: object) -> object:
    """Text, number or nothing: what python-can's interfaces call a channel."""
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    raise mistake(
        f"{written(value)} is neither text nor a whole number", 'Write channel = 0 or channel = "can0".'
    )


def options(given: dict[str, object]) -> dict[str, object]:
    for name in RESERVED_OPTIONS:
        if name in given:
            key = "filters" if name == "can_filters" else name
            raise mistake(f'"{name}" is no option of its own', f"Write it as the key {key} of this bus.")
    return given
