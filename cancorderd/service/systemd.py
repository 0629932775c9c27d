"""Notifications to systemd: readiness, status line, watchdog, file descriptor store.

The pure parts come first. Without systemd, every method of `ServiceManager` does nothing. Times are seconds on
the monotonic clock.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from cancorderd.control.protocol import GOOD_STATES, all_is_well
from cancorderd.printable import printable
from cancorderd.service import environment as variables
from cancorderd.service.inherited_sockets import stored_name
from cancorderd.service.notify_socket import NotifySocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from cancorderd.control.protocol import BusStatus

log = logging.getLogger("cancorderd")

_EXTENSION_S = 10.0
"""Additional time that each request asks for; requests are sent about once a second."""
_LONGEST_S = 60.0
"""A start, reload or end that takes longer is considered stuck."""
_BUSES_NAMED = 3
"""Number of buses whose state and reason are in the status line; further ones are only counted."""
_LONGEST_REASON = 100


class Watchdog:
    """Rhythm of the keepalives: half of the interval after which systemd considers the daemon hung."""

    def __init__(self, interval_s: float, usual_check_s: float) -> None:
        self.interval_s = interval_s
        self.check_every_s = min(usual_check_s, interval_s / 4)
        """Interval at which `due` has to be called."""
        self._last_s: float | None = None

    def due(self, now_s: float) -> bool:
        """Return whether a keepalive is due now (the next check would be too late). Records it as sent."""
        latest_s = self.interval_s / 2 - self.check_every_s / 2
        if self._last_s is not None and now_s - self._last_s < latest_s:
            return False
        self._last_s = now_s
        return True


def extension_us(elapsed_s: float) -> int | None:
    """Return EXTEND_TIMEOUT_USEC for a start, reload or end that has taken `elapsed_s`; None if it is stuck."""
    return int(_EXTENSION_S * 1e6) if elapsed_s < _LONGEST_S else None


def status_line(buses: Sequence[BusStatus]) -> str:
    """Return the line for `systemctl status`, such as "3 of 4 buses running; body: waiting: no /dev/ttyACM0"."""
    if not buses:
        return "no buses: the configuration has no [bus.NAME] table"
    running = sum(bus["state"] == "running" for bus in buses)
    noun = "bus" if len(buses) == 1 else "buses"
    bad = [bus for bus in buses if not all_is_well(bus)]
    parts = [f"{running} of {len(buses)} {noun} running", *map(_state_and_reason, bad[:_BUSES_NAMED])]
    if len(bad) > _BUSES_NAMED:
        parts.append(f"{len(bad) - _BUSES_NAMED} more")
    return "; ".join(parts)


def _state_and_reason(bus: BusStatus) -> str:
    state, reason = str(bus["state"]), bus["reason"]
    if bus["state"] in GOOD_STATES and bus["recording"]:
        state, reason = f"recording {bus['recording']['state']}", bus["recording"]["reason"]
    # The fact alone; `cancorderctl status` shows the remedy.
    fact = " ".join(reason.split()).partition(". ")[0].rstrip(".")
    if len(fact) > _LONGEST_REASON:
        fact = f"{fact[: _LONGEST_REASON - 3]}..."
    return f"{bus['name']}: {state}{f': {fact}' if fact else ''}"


class ServiceManager:
    """Sender of notifications. `send` takes the lines of a message and descriptors; None: there is no receiver."""

    def __init__(
        self,
        send: Callable[[str, Sequence[int]], object] | None = None,
        watchdog: Watchdog | None = None,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """`flush` sends the notifications for which the receiver had no room."""
        self._send = send
        self._flush = flush
        self._watchdog = watchdog
        self._line = ""

    def check_every_s(self, usual_s: float) -> float:
        """Return the interval of the supervisor's checks that lets `alive` be in time."""
        return min(usual_s, self._watchdog.check_every_s) if self._watchdog else usual_s

    def ready(self, line: str) -> None:
        """Report that the configuration is in force: at start, and after each reload."""
        self._line = line
        self._notify("READY=1", f"STATUS={line}")

    def status(self, line: str) -> None:
        """Replace the status line."""
        if line != self._line:
            self._line = line
            self._notify(f"STATUS={line}")

    def alive(self, now_s: float) -> None:
        """Send a keepalive if one is due. Call this after each check of all workers."""
        self._flush()
        if self._watchdog and self._watchdog.due(now_s):
            self._notify("WATCHDOG=1")

    def reloading(self) -> None:
        """Report the begin of a reload; `ready` ends it, whether the configuration was accepted or refused."""
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._line = "stopping"
        self._notify("STOPPING=1", "STATUS=stopping")

    def extend(self, elapsed_s: float) -> None:
        """Ask for more time for a start, reload or end that has taken `elapsed_s` and is not stuck."""
        more_us = extension_us(elapsed_s)
        if more_us:
            self._notify(f"EXTEND_TIMEOUT_USEC={more_us}")

    def store(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        """Store these sockets while the daemon restarts, in addition to those already stored for this bus."""
        if sockets:
            descriptors = [sock.fileno() for sock in sockets]
            self._notify("FDSTORE=1", f"FDNAME={stored_name(bus)}", descriptors=descriptors)

    def remove(self, bus: str) -> None:
        """Remove all sockets stored for this bus."""
        self._notify("FDSTOREREMOVE=1", f"FDNAME={stored_name(bus)}")

    def _notify(self, *lines: str, descriptors: Sequence[int] = ()) -> None:
        if self._send:
            self._send("\n".join(lines), descriptors)


def connect(environment: Mapping[str, str]) -> tuple[ServiceManager, list[tuple[int, str]]]:
    """Return the service manager, and the descriptors that it passed to this process, with their names.

    Call it before anything else is opened: a descriptor that is open now was inherited. Variables that make no sense
    are ignored with a warning.
    """
    descriptors = variables.inherited_descriptors(environment, os.getpid(), _is_open, log.warning)
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return ServiceManager(), descriptors
    try:
        notify_socket = NotifySocket(address)
    except ValueError:
        shown = printable(address, 40)
        log.warning("NOTIFY_SOCKET=%s in the environment is ignored: not the path of a socket.", shown)
        return ServiceManager(), descriptors
    interval_s = variables.watchdog_interval_s(environment, os.getpid(), log.warning)
    watchdog = Watchdog(interval_s, usual_check_s=1.0) if interval_s else None
    return ServiceManager(notify_socket.send, watchdog, notify_socket.flush), descriptors


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
