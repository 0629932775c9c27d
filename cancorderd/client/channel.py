"""What people write for a logger: HOST:PORT, [IPv6]:PORT, or zeroconf:NAME."""

from __future__ import annotations

import time

from cancorderd.client.connection import Connection, connect, connect_any
from cancorderd.client.discovery import Logger, browse
from cancorderd.client.errors import ConnectFailed
from cancorderd.wire import SERVICE_PREFIX

ZEROCONF = "zeroconf:"
_SETTLE_S = 1.5
"""How long another bus of the same name is waited for. Loggers answer within 120 ms, or once their last answer
is a second old (RFC 6762, 6)."""


def connect_to(channel: str, *, timeout_s: float = 5.0) -> Connection:
    """Connect to `channel`, within `timeout_s` seconds.

    It is "HOST:PORT", "[::1]:42420" or "zeroconf:NAME". NAME is a logger's instance name, with or without
    the "ECUconnect-Logger " that it begins with, or the name of a bus where one logger alone has it.
    Raises ConnectFailed, DiscoveryFailed, and ValueError for any other channel.
    """
    if not channel.startswith(ZEROCONF):
        return connect(*host_and_port(channel), timeout_s=timeout_s)
    deadline_s = time.monotonic() + timeout_s
    logger = find(channel.removeprefix(ZEROCONF), timeout_s=timeout_s)
    left_s = max(0.5, deadline_s - time.monotonic())
    return connect_any(logger.addresses, logger.port, f"{logger.name} ({logger.host})", timeout_s=left_s)


def host_and_port(text: str) -> tuple[str, int]:
    """Raises ValueError where `text` is not HOST:PORT or [IPv6]:PORT."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address without brackets: its last group would be taken for the port
    if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(f'"{text}" names no logger. Write HOST:PORT, [IPV6]:PORT or {ZEROCONF}NAME.')
    return host, int(port)


def find(name: str, *, timeout_s: float = 5.0) -> Logger:
    """The logger of this name, as `connect_to` takes it. Raises ConnectFailed, DiscoveryFailed and ValueError."""
    if not name:
        raise ValueError(
            f'"{ZEROCONF}" names no logger. Write {ZEROCONF}NAME; cancorderctl discover shows names.'
        )
    end_s = time.monotonic() + timeout_s
    known: dict[str, Logger] = {}
    with browse() as browser:
        while (left_s := end_s - time.monotonic()) > 0 and (change := browser.next(left_s)):
            if change.kind == "gone":
                known.pop(change.logger.name, None)
                continue
            known[change.logger.name] = change.logger
            if _is_instance(change.logger, name):
                return change.logger
            if _is_bus(change.logger, name):
                end_s = min(end_s, time.monotonic() + _SETTLE_S)
    return _only(name, list(known.values()))


def _only(name: str, known: list[Logger]) -> Logger:
    named = [one for one in known if _is_bus(one, name)]
    if len(named) == 1:
        return named[0]
    names = ", ".join(f'"{one.name}"' for one in sorted(named or known))
    if named:
        raise ConnectFailed(
            f"{ZEROCONF}{name}: several loggers have a bus of this name. Choose one: {names}."
        )
    found = (
        f"There are {names}."
        if known
        else "There are no others either: check network and firewall (UDP 5353)."
    )
    raise ConnectFailed(f"{ZEROCONF}{name}: no logger of this name is on the network. {found}")


def _is_instance(logger: Logger, name: str) -> bool:
    return logger.name in (name, f"{SERVICE_PREFIX} {name}")


def _is_bus(logger: Logger, name: str) -> bool:
    return logger.text.get("bus") == name
