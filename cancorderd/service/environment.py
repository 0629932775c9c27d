"""Variables with which a service manager starts a process. Values that make no sense are ignored with a warning. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START (sd_listen_fds(3))."""
_SHORTEST_WATCHDOG_S = 0.1
"""Keepalives for a shorter interval would take a noticeable part of a processor."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_LONGEST_SHOWN = 40


def watchdog_interval_s(
    environment: Mapping[str, str], pid: int, warn: Callable[[str], None]
) -> float | None:
    """Return the interval as sd_watchdog_enabled(3) does: None if no watchdog waits for this process."""
    if "WATCHDOG_USEC" not in environment or not _is_meant(environment, "WATCHDOG_PID", pid, warn):
        return None
    microseconds = _number(environment, "WATCHDOG_USEC")
    if microseconds == 0:
        return None
    if microseconds is None or microseconds / 1e6 < _SHORTEST_WATCHDOG_S:
        warn(_ignored(environment, "WATCHDOG_USEC", "no usable number of microseconds"))
        return None
    return microseconds / 1e6


def inherited_descriptors(
    environment: Mapping[str, str],
    pid: int,
    is_open: Callable[[int], bool],
    warn: Callable[[str], None],
) -> list[tuple[int, str]]:
    """Return the descriptors that the service manager has passed, with their names, as sd_listen_fds(3) does."""
    if "LISTEN_FDS" not in environment or not _is_meant(environment, "LISTEN_PID", pid, warn, required=True):
        return []
    count = _number(environment, "LISTEN_FDS")
    if count is None:
        warn(_ignored(environment, "LISTEN_FDS", "not a number"))
        return []
    descriptors: list[int] = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
        if not is_open(descriptor):
            warn(_ignored(environment, "LISTEN_FDS", f"descriptor {descriptor} is not open"))
            return []
        descriptors.append(descriptor)
    names = [printable(name) for name in environment.get("LISTEN_FDNAMES", "").split(":")]
    if len(names) != count and "LISTEN_FDNAMES" in environment:
        warn(_ignored(environment, "LISTEN_FDNAMES", f"not {count} names"))
    if len(names) != count:
        names = ["unknown"] * count
    return list(zip(descriptors, names, strict=True))


def _is_meant(
    environment: Mapping[str, str],
    key: str,
    pid: int,
    warn: Callable[[str], None],
    *,
    required: bool = False,
) -> bool:
    """Return whether the process id in `key` is `pid`; without this variable, whether it is not `required`."""
    if key not in environment:
        return not required
    number = _number(environment, key)
    if number is None:
        warn(_ignored(environment, key, "no process id"))
    return number == pid


def _number(environment: Mapping[str, str], key: str) -> int | None:
    text = environment[key]
    return int(text) if _NUMBER.fullmatch(text) else None


def _ignored(environment: Mapping[str, str], key: str, fact: str) -> str:
    shown = printable(environment[key], _LONGEST_SHOWN)
    return f"{key}={shown} in the environment is ignored: {fact}. Remove it, or let systemd set it."
