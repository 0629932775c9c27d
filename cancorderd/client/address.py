"""Address of a logger as people write it: HOST:PORT, [IPv6]:PORT, or zeroconf:NAME."""

from __future__ import annotations

import time

from cancorderd.client.connection import Connection, connect, connect_any
from cancorderd.client.discovery import Logger, browse
from cancorderd.client.errors import ConnectFailed
from cancorderd.protocol.service_names import SERVICE_PREFIX

ZEROCONF = "zeroconf:"
_OTHER_LOGGERS_S = 1.5
"""Time to wait for another bus of the same name. Loggers answer within 120 ms, or once their last answer is a
second old (RFC 6762, 6)."""

_LISTED = 20
"""Loggers that an error lists by name."""


def connect_to(channel: str, *, timeout_s: float = 5.0) -> Connection:
    """Connect to `channel`, within `timeout_s` seconds.

    `channel` is "HOST:PORT", "[::1]:42420" or "zeroconf:NAME". NAME is a logger's instance name, with or without
    the "ECUconnect-Logger " at its beginning, or the name of a bus, followed by @ and the host name if several have it,
    or HOST:PORT, by which other loggers are named.
    Raises ConnectFailed, DiscoveryFailed, and ValueError for any other channel.
    """
    channel = channel_text(channel)
    if not channel.startswith(ZEROCONF):
        return connect(*host_and_port(channel), timeout_s=timeout_s)
    deadline_s = time.monotonic() + timeout_s
    logger = find(channel.removeprefix(ZEROCONF), timeout_s=timeout_s)
    left_s = max(0.5, deadline_s - time.monotonic())
    return connect_any(logger.addresses, logger.port, f"{logger.name} ({logger.host})", timeout_s=left_s)


def channel_text(channel: object) -> str:
    """Return `channel` if it is a text. Raises ValueError if it is missing, a number, a pair, bytes and so on."""
    if isinstance(channel, str):
        return channel
    fact = "the channel is missing" if channel is None else f"the channel is {channel!r}, which is no text"
    raise ValueError(
        f'{fact}. Write HOST:PORT, [IPV6]:PORT or {ZEROCONF}NAME in quotation marks, such as "localhost:42420".'
    )


def host_and_port(text: str) -> tuple[str, int]:
    """Parse HOST:PORT or [IPv6]:PORT. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address without brackets, whose last group would become the port
    if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(f'"{text}" names no logger. Write HOST:PORT, [IPV6]:PORT or {ZEROCONF}NAME.')
    return host, int(port)


def find(name: str, *, timeout_s: float = 5.0) -> Logger:
    """Return the logger of this name; see `connect_to` for names.

    Raises ConnectFailed, DiscoveryFailed, and ValueError if the name is empty.
    """
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
                end_s = min(end_s, time.monotonic() + _OTHER_LOGGERS_S)
    return _only(name, list(known.values()))


def _only(name: str, known: list[Logger]) -> Logger:
    named = [logger for logger in known if _is_bus(logger, name)]
    if len(named) == 1:
        return named[0]
    names = _names(sorted(named or known))
    if named:
        raise ConnectFailed(
            f"{ZEROCONF}{name}: several loggers have a bus of this name. Choose one: {names}; or add @ and its host."
        )
    found = (
        f"There are {names}."
        if known
        else "There are no other loggers either: check network and firewall (UDP 5353)."
    )
    raise ConnectFailed(f"{ZEROCONF}{name}: no logger of this name is on the network. {found}")


def _names(loggers: list[Logger]) -> str:
    listed = [f'"{logger.name}"' for logger in loggers[:_LISTED]]
    more = len(loggers) - len(listed)
    return ", ".join([*listed, f"{more} more"] if more else listed)


def _is_instance(logger: Logger, name: str) -> bool:
    return logger.name in (name, f"{SERVICE_PREFIX} {name}")


def _is_bus(logger: Logger, name: str) -> bool:
    """Return whether the logger is the bus BUS, BUS@HOST or HOST:PORT."""
    hosts = {logger.text.get("system", "").lower(), logger.host.partition(".")[0].lower()}
    host, colon, port = name.removeprefix(f"{SERVICE_PREFIX} ").rpartition(":")
    if colon and port == str(logger.port) and host.lower() in hosts:
        return True
    bus, at, host = name.partition("@")
    return logger.text.get("bus") == bus and (not at or host.partition(".")[0].lower() in hosts)
