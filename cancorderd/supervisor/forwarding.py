"""Forwarding in the supervisor: the forwarder's process, and the streams that the workers feed it.

The supervisor keeps the forwarder's end of each stream. A forwarder that is killed or replaced therefore costs no more
than it had in memory: the next one reads on where the stream is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.config.forward_settings import FOLDER, ForwardSettings
from cancorderd.hub.subjects import default_gateway
from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import (
    ForwarderReport,
    ForwarderStart,
    GatewayLosses,
    NewFeed,
    Notice,
    WorkerEnd,
    printable_message,
)
from cancorderd.python_command import python_command
from cancorderd.supervisor.machine_lookup import MachineLookup
from cancorderd.supervisor.worker_process import WorkerProcess, not_started_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.control.protocol import ForwardedBus, ForwardStatus
    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import ForwardedBusReport, SafePosition
    from cancorderd.supervisor.bus import Bus

log = logging.getLogger("cancorderd.forward")

EVENTS = "forward"
"""Under this name in place of a bus's, forwarding logs its events."""
COMMAND = python_command("cancorderd.forwarder")
_BACKOFF = Backoff(first_s=0.5, longest_s=60.0)
_REFUSED_S = 60.0
_STABLE_S = 30.0
_SILENT_CHECKS = 60
"""Checks in a row without a message (a quarter of a second each) after which the forwarder is replaced."""
_STARTING_CHECKS = 8 * _SILENT_CHECKS
"""The same before its first message: on a busy machine, a start takes long."""
_END_WITHIN_S = 8.0
"""For a forwarder to write what the hub has not acknowledged; then it is killed."""
_STOP_WITHIN_S = 3.0
"""The same at the end of the daemon, which has to end itself."""
_LOST = ("kernel", "adapter", "unknown", "feed", "spool")
_BUFFER = 1 << 20


class _Stream(NamedTuple):
    """A stream that the forwarder has not read to its end."""

    bus: str
    socket: socket.socket


class Forwarding:
    """The forwarder, if there is a [forward]. Create it in a running loop; call `configure`, and `check` regularly."""

    def __init__(
        self,
        *,
        machine: Callable[[], tuple[str, str]] | None = None,
        command: list[str] = COMMAND,
    ) -> None:
        self._machine = machine or MachineLookup()
        self._command = command
        self._settings: ForwardSettings | None = None
        self._folder = ""
        self._gateway = ""
        self._process: WorkerProcess | None = None
        self._started_s = self._next_start_s = 0.0
        self._failures = 0
        self._restarts = 0
        self._ending = False
        """Whether the process that runs was asked to end."""
        self._kill_at_s = 0.0
        self._end: WorkerEnd | None = None
        self._silent_checks = 0
        self._last_message_s: float | None = None
        self._report: ForwarderReport | None = None
        self._reason = ""
        self._streams: dict[int, _Stream] = {}
        self._numbers = itertools.count(1)
        self._safe: dict[str, SafePosition] = {}
        """Positions of forwarders that crashed, for the next."""
        self._losses: dict[str, GatewayLosses] = {}
        """Latest losses of each bus before its stream."""
        self._earlier: dict[str, dict[str, int]] = {}
        """Losses that earlier forwarders reported."""

    @property
    def on(self) -> bool:
        return self._settings is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def configure(self, settings: ForwardSettings | None, state_dir: str) -> bool:
        """Put settings in force: start, replace or end the forwarder. Returns whether that changes anything."""
        gateway = folder = ""
        if settings:
            gateway = settings.gateway or default_gateway(*self._machine())
            folder = os.path.join(state_dir, FOLDER, gateway)
        if (settings, folder) == (self._settings, self._folder):
            return False
        self._settings, self._gateway, self._folder = settings, gateway, folder
        self._failures, self._next_start_s, self._reason = 0, 0.0, ""
        if self._process:
            self._request_end()
        elif settings:
            self._start()
        if not settings:
            self._close_streams()
        return True

    def open_feed(self, bus: Bus) -> socket.socket | None:
        """Return the socket for a worker of this bus, whose stream follows those of its earlier workers."""
        if self._settings is None or not bus.settings.forwardable:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        number = next(self._numbers)
        self._streams[number] = _Stream(bus.name, ours)
        if self._process and not self._ending:
            self._pass_stream(number)
        return theirs

    def take_losses(self, bus: str, kernel: int, adapter: int, unknown: int) -> None:
        """Pass on a bus's losses before its stream, since the daemon started."""
        losses = GatewayLosses(bus, kernel, adapter, unknown)
        if self._settings and losses != self._losses.get(bus):
            self._losses[bus] = losses
            if self._process and not self._ending:
                self._process.send(losses)

    def check(self, now_s: float) -> None:
        """Start, replace or kill the forwarder if that is due. Call it some times a second."""
        process = self._process
        if process is None:
            if self._settings and now_s >= self._next_start_s:
                self._start()
            return
        if self._ending:
            if now_s >= self._kill_at_s:
                process.signal(signal.SIGKILL)
            return
        silent = process.last_message_s == self._last_message_s
        self._last_message_s = process.last_message_s
        self._silent_checks = self._silent_checks + 1 if silent else 0
        limit = _STARTING_CHECKS if self._last_message_s is None else _SILENT_CHECKS
        if self._silent_checks >= limit:
            self._silent_checks = 0
            self._log(logging.ERROR, "the forwarder does not answer: it is replaced")
            process.signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End the forwarder for good, after the workers have ended. It writes what the hub has not acknowledged."""
        self._settings = None
        if self._process:
            self._request_end()
            waiting = asyncio.create_task(self._process.wait())
            _, late = await asyncio.wait({waiting}, timeout=_STOP_WITHIN_S)
            if late and self._process:
                self._process.signal(signal.SIGKILL)
                await asyncio.wait({waiting}, timeout=0.5)
            waiting.cancel()
        self._close_streams()

    def status(self) -> ForwardStatus | None:
        if self._settings is None:
            return None
        report = self._report
        return {
            "gateway": self._gateway,
            "connected": bool(report and report.connected),
            "reason": report.reason if report else self._reason or "the forwarder starts",
            "url": report.url if report else self._settings.url[0],
            "refused": report.refused if report else bool(self._reason),
            "losing": bool(report and report.losing),
            "pid": self.pid,
            "restarts": self._restarts,
            "spool_bytes": report.spool_bytes if report else 0,
            "spool_limit_bytes": report.spool_limit_bytes if report else self._settings.spool_mb * 1_000_000,
            "spool_lasts_s": report.spool_lasts_s if report else None,
            "retained_s": report.retained_s if report else 0.0,
            "epoch": report.epoch if report else 0,
            "buses": [self._bus_status(bus) for bus in report.buses] if report else [],
        }

    def _bus_status(self, bus: ForwardedBusReport) -> ForwardedBus:
        earlier = self._earlier.get(bus.name, {})
        lost = {place: getattr(bus, place) + earlier.get(place, 0) for place in _LOST}
        return {
            "name": bus.name,
            "lag_frames": bus.lag_frames,
            "lag_s": bus.lag_s,
            "forwarded": bus.forwarded,
            "lost": {
                "kernel": lost["kernel"],
                "adapter": lost["adapter"],
                "unknown": lost["unknown"],
                "feed": lost["feed"],
                "spool": lost["spool"],
            },
        }

    def _start(self) -> None:
        settings = self._settings
        if settings is None:
            return
        self._started_s = time.monotonic()
        self._ending, self._end, self._report = False, None, None
        self._silent_checks, self._last_message_s = 0, None
        process = WorkerProcess(self._on_message, self._on_exit, command=self._command)
        start = ForwarderStart(json.dumps(asdict(settings)), self._gateway, self._folder)
        try:
            process.start(EVENTS, start, [], [])
        except (OSError, MemoryError) as error:
            self._schedule(not_started_reason(error).replace("the worker", "the forwarder", 1))
            return
        self._process = process
        known = {stream.bus for stream in self._streams.values()} | self._losses.keys()
        for bus in sorted(known):
            process.send(self._losses.get(bus, GatewayLosses(bus, 0, 0, 0)))
        for number in self._streams:
            self._pass_stream(number)

    def _pass_stream(self, number: int) -> None:
        stream = self._streams[number]
        if self._process:
            safe = self._safe.pop(stream.bus, None)
            self._process.send(NewFeed(stream.bus, number, safe), stream.socket.dup())

    def _request_end(self) -> None:
        if self._process and not self._ending:
            self._ending = True
            self._kill_at_s = time.monotonic() + _END_WITHIN_S
            self._process.signal(signal.SIGTERM)

    def _on_message(self, received: ReceivedMessage) -> None:
        match printable_message(received.message):
            case ForwarderReport() as report:
                self._report, self._reason = report, ""
                for number in report.ended:
                    if stream := self._streams.pop(number, None):
                        stream.socket.close()
            case Notice(level, text):
                self._log(logging.getLevelNamesMapping()[level.upper()], text)
            case WorkerEnd() as end:
                self._end = end

    def _on_exit(self, status: int) -> None:
        report, self._report, self._process = self._report, None, None
        for bus in report.buses if report else ():
            earlier = self._earlier.setdefault(bus.name, dict.fromkeys(_LOST, 0))
            for place in _LOST:
                earlier[place] += getattr(bus, place)
            if bus.safe and status != WorkerExit.DONE:
                self._safe[bus.name] = bus.safe
        if self._settings is None:
            self._close_streams()
        elif self._ending:
            self._start()
        elif status == WorkerExit.REFUSED and self._end:
            self._reason = self._end.reason
            self._next_start_s = time.monotonic() + _REFUSED_S
            self._log(logging.ERROR, self._reason)
        else:
            self._restarts += 1
            self._schedule(f"the forwarder {_ended_text(status)}")

    def _schedule(self, reason: str) -> None:
        now_s = time.monotonic()
        self._failures = 1 if now_s - self._started_s > _STABLE_S else self._failures + 1
        delay_s = _BACKOFF.delay_s(self._failures)
        self._next_start_s = now_s + delay_s
        self._reason = f"{reason}; the next one starts in {delay_s:g} s."
        self._log(logging.ERROR, self._reason)

    def _close_streams(self) -> None:
        while self._streams:
            self._streams.popitem()[1].socket.close()

    def _log(self, level: int, text: str) -> None:
        log.log(level, "%s", text, extra={"bus": EVENTS})


def _ended_text(status: int) -> str:
    if status < 0:
        return f"was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}; its trace is in the log"
