"""Names under which Zeroconf announces and finds ECUconnect Loggers. Pure."""

from __future__ import annotations

import re

SERVICE_TYPE = "_ecuconnect-log._tcp.local."
"""DNS-SD service type of every ECUconnect Logger."""
SERVICE_PREFIX = "ECUconnect-Logger"
"""Required beginning of an instance name."""
DEFAULT_SERVICE_NAME = f"{SERVICE_PREFIX} {{bus}} {{host}}:{{port}}"
"""Name of a bus without `service_name`."""
MAX_SERVICE_NAME = 63
"""Longest instance name in bytes of UTF-8: it is one label (RFC 1035, 2.3.4; RFC 6763, 4.1.1)."""
PLACEHOLDERS = ("host", "port", "bus")
"""Words that a name may have in braces."""

_BRACED = re.compile(r"\{(\w+)\}")
_CUT_FIRST = ("host", "bus")


def filled(name: str, *, host: str = "", port: int | str = "", bus: str = "") -> str:
    """Return `name` with these values for its placeholders; other text in braces remains.

    A name that is too long is cut at {host}, then at {bus}, and at its end if it is still too long: the port
    distinguishes the buses of a host.
    """
    values = {"host": host, "port": str(port), "bus": bus}
    for place in _CUT_FIRST:
        excess = len(_replaced(name, values).encode()) - MAX_SERVICE_NAME
        if excess > 0 and (times := name.count(f"{{{place}}}")):
            values[place] = cut(values[place], max(0, len(values[place].encode()) - -(-excess // times)))
    return cut(_replaced(name, values), MAX_SERVICE_NAME)


def unknown_placeholders(name: str) -> list[str]:
    """Return the placeholders of `name` that nothing replaces, with their braces."""
    return [found[0] for found in _BRACED.finditer(name) if found[1] not in PLACEHOLDERS]


def least_size(name: str) -> int:
    """Return the bytes of `name` that remain when it is cut: with a port of five digits, without host and bus."""
    return len(_replaced(name, {"host": "", "port": "65535", "bus": ""}).encode())


def cut(text: str, size: int) -> str:
    """Return the beginning of `text` that has at most `size` bytes, in whole characters."""
    return text.encode()[:size].decode(errors="ignore")


def _replaced(name: str, values: dict[str, str]) -> str:
    return _BRACED.sub(lambda found: values.get(found[1], found[0]), name)
