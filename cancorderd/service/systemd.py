"""What systemd is told, by systemd-python: sd_notify(3), its watchdog, its file descriptor store.

A thin shell: what to say and when is decided in `status_line`, `rhythm` and `handed`. Without systemd every
call does nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import time
from typing import TYPE_CHECKING

from cancorderd.service import rhythm
from cancorderd.service.handed import kept_name

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger("cancorderd")

REMEDY = "Install systemd-python: apt install python3-systemd, or pip install cancorderd[systemd]."
_TRACE_BEFORE = 0.9
"""The part of the watchdog's interval after which a supervisor that hangs leaves a trace of where."""


class ServiceManager:
    """`send` takes the lines of one message and descriptors; None where there is nobody to talk to."""

    def __init__(
        self,
        send: Callable[[str, Sequence[int]], object] | None = None,
        watchdog: rhythm.Watchdog | None = None,
    ) -> None:
        self._send = send
        self._watchdog = watchdog
        self._line = ""

    def check_every_s(self, usual_s: float) -> float:
        """How often the supervisor has to look after its workers for `alive` to be in time."""
        return min(usual_s, self._watchdog.check_every_s) if self._watchdog else usual_s

    def ready(self, line: str) -> None:
        """The configuration is in force: at start, and after each reload."""
        self._line = line
        self._tell("READY=1", f"STATUS={line}")

    def status(self, line: str) -> None:
        """Show this line from now on."""
        if line != self._line:
            self._line = line
            self._tell(f"STATUS={line}")

    def alive(self, now_s: float) -> None:
        """The supervisor has just looked after every worker."""
        if self._watchdog and self._watchdog.due(now_s):
            self._tell("WATCHDOG=1")
            # It needs neither the loop nor Python's lock, so it works where both are stuck.
            faulthandler.dump_traceback_later(self._watchdog.interval_s * _TRACE_BEFORE)

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it, be the new configuration in force or refused."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._line = "stopping"
        self._tell("STOPPING=1", "STATUS=stopping")
        faulthandler.cancel_dump_traceback_later()

    def extend(self, elapsed_s: float) -> None:
        """A start, reload or end takes `elapsed_s` already, and is not stuck."""
        more_us = rhythm.extension_us(elapsed_s)
        if more_us:
            self._tell(f"EXTEND_TIMEOUT_USEC={more_us}")

    def store(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        """Keep these sockets while the daemon restarts, beside those that are stored for this bus."""
        if sockets:
            descriptors = [one.fileno() for one in sockets]
            self._tell("FDSTORE=1", f"FDNAME={kept_name(bus)}", descriptors=descriptors)

    def forget(self, bus: str) -> None:
        """Let go of all that is stored for this bus."""
        self._tell("FDSTOREREMOVE=1", f"FDNAME={kept_name(bus)}")

    def _tell(self, *lines: str, descriptors: Sequence[int] = ()) -> None:
        if self._send:
            with contextlib.suppress(OSError):  # systemd restarts itself, or is gone
                self._send("\n".join(lines), descriptors)


def connect(environment: Mapping[str, str]) -> tuple[ServiceManager, list[tuple[int, str]]]:
    """The service manager, and the descriptors that it hands over, with their names.

    Where there is one but no library to talk to it, that is logged and nobody is told anything.
    """
    if not (environment.get("NOTIFY_SOCKET") or environment.get("LISTEN_FDS")):
        return ServiceManager(), []
    try:
        from systemd import daemon  # noqa: PLC0415 - optional, and of use only here
    except ImportError:
        log.warning(
            "systemd waits to be told when the daemon is ready, and systemd-python is missing, so that it "
            "will take the daemon for hung. %s",
            REMEDY,
        )
        return ServiceManager(), []

    def send(text: str, descriptors: Sequence[int]) -> None:
        if descriptors:
            daemon.notify(text, fds=list(descriptors))
        else:
            daemon.notify(text)

    interval_s = rhythm.watchdog_interval_s(environment, os.getpid())
    watchdog = rhythm.Watchdog(interval_s, usual_check_s=1.0) if interval_s else None
    handed = daemon.listen_fds_with_names()
    return ServiceManager(send if environment.get("NOTIFY_SOCKET") else None, watchdog), list(handed.items())
