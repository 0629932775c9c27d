"""Forwarding in the supervisor: the forwarder's process, and the streams that the workers feed it.

The supervisor keeps the forwarder's end of each stream. A forwarder that is killed or replaced therefore costs no more
than it had in memory: the next one reads on where the stream is.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.config.forward_settings import FOLDER, ForwardSettings
from cancorderd.hub.subjects import default_gateway
from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import ForwarderReport, ForwarderStart, GatewayLosses, NewFeed, SafePosition
from cancorderd.python_command import python_command
from cancorderd.supervisor.machine_lookup import MachineLookup
from cancorderd.supervisor.side_policy import SidePolicy
from cancorderd.supervisor.side_process import SideProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.control.protocol import ForwardedBus, ForwardStatus
    from cancorderd.ipc.messages import ForwardedBusReport, Message
    from cancorderd.supervisor.bus import Bus

log = logging.getLogger("cancorderd.forward")

EVENTS = "forward"
"""Under this name in place of a bus's, forwarding logs its events."""
COMMAND = python_command("cancorderd.forwarder", EVENTS)
POLICY = SidePolicy(
    subject="the forwarder",
    delays=Backoff(first_s=0.5, longest_s=60.0),
    refused_s=60.0,
    hung_s=15.0,
    first_message_within_s=120.0,
    asked=True,
    end_within_s=8.0,  # to write what the hub has not acknowledged
)
_STOP_WITHIN_S = 2.5
"""The same as `end_within_s`, but at the end of the daemon, which itself has little time: another may have to follow."""
_IN_ORDER = (WorkerExit.DONE, WorkerExit.REFUSED)
"""Exit statuses after which another forwarder would do no more than the one that has ended."""
_LOST = ("kernel", "adapter", "unknown", "feed", "spool")
_BUFFER = 1 << 20


class _Stream(NamedTuple):
    """A stream that the forwarder has not read to its end."""

    bus: str
    socket: socket.socket


class Forwarding:
    """The forwarder, if there is a [forward], and the streams that it reads. Create it in a running loop."""

    def __init__(
        self,
        *,
        machine: Callable[[], tuple[str, str]] | None = None,
        command: list[str] = COMMAND,
        policy: SidePolicy = POLICY,
    ) -> None:
        self._machine = machine or MachineLookup()
        self._process = SideProcess(EVENTS, command, policy, self)
        self._settings: ForwardSettings | None = None
        self._folder = ""
        self._gateway = ""
        self._report: ForwarderReport | None = None
        self._streams: dict[int, _Stream] = {}
        self._numbers = itertools.count(1)
        self._safe: dict[str, SafePosition] = {}
        """Positions up to which forwarders have stored a bus's frames, for the next forwarder."""
        self._losses: dict[str, GatewayLosses] = {}
        """Latest losses of each bus before its stream."""
        self._removed_losses: dict[str, GatewayLosses] = {}
        """The same of removed buses, by name: one that is added again counts from 0."""
        self._earlier: dict[str, dict[str, int]] = {}
        """Losses that earlier forwarders reported."""
        self._in_order = False
        """Whether the last forwarder that has ended did so in order."""

    @property
    def on(self) -> bool:
        return self._settings is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def configure(self, settings: ForwardSettings | None, state_dir: str) -> bool:
        """Put settings in force: start, replace or end the forwarder. Returns whether that changes anything."""
        gateway = folder = ""
        if settings:
            gateway = settings.gateway or default_gateway(*self._machine())
            folder = os.path.join(state_dir, FOLDER, gateway)
        if (settings, folder) == (self._settings, self._folder):
            return False
        self._settings, self._gateway, self._folder = settings, gateway, folder
        if settings:
            self._process.restart()
        else:
            self._process.end()
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
        if self._process.running:
            self._pass_stream(number)
        return theirs

    def fed(self, name: str) -> int:
        """Return how many frames buses of this name have had for the forwarder."""
        losses = self._losses.get(name)
        return losses.fed if losses else 0

    def remove(self, name: str) -> None:
        """Note that a bus was removed: another of this name counts its losses from 0."""
        if name in self._losses:
            self._removed_losses[name] = self._losses[name]

    def take_losses(self, bus: str, kernel: int, adapter: int, unknown: int, fed: int) -> None:
        """Pass on a bus's losses before its stream, and the frames of its stream, since the daemon started."""
        if before := self._removed_losses.get(bus):
            kernel, adapter, unknown = (
                kernel + before.kernel, adapter + before.adapter, unknown + before.unknown,
            )  # fmt: skip
        losses = GatewayLosses(bus, kernel, adapter, unknown, fed)
        if self._settings and losses != self._losses.get(bus):
            self._losses[bus] = losses
            if self._process.running:
                self._process.send(losses)

    async def stop(self, within_s: float) -> None:
        """End the forwarder for good, after the workers have ended. It writes what the hub has not acknowledged.

        If none runs at present, or it does not end in order (it was killed, or hangs), a last one reads what the workers
        have sent, and counts what the one before it had. If there is too little time for that, it ends a moment later.
        """
        deadline_s = time.monotonic() + within_s
        for last in (False, True):
            if self._streams:
                self._in_order = False
                await self._process.started(deadline_s - time.monotonic())
            limit_s = deadline_s - time.monotonic()
            await self._process.stop(limit_s if last else min(_STOP_WITHIN_S, limit_s), kill=not last)
            if self._in_order:
                break
        self._settings = None
        self._close_streams()

    def status(self) -> ForwardStatus | None:
        if self._settings is None:
            return None
        report = self._report
        return {
            "gateway": self._gateway,
            "connected": bool(report and report.connected),
            "reason": report.reason if report else self._process.reason or "the forwarder starts",
            "url": report.url if report else self._settings.url[0],
            "refused": report.refused if report else bool(self._process.reason),
            "losing": bool(report and report.losing),
            "pid": self.pid,
            "restarts": self._process.restarts,
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

    # Reports of the process, and messages to it (`side_process.Owner`)

    def on_start(self) -> None:
        if self._settings is None:
            return
        self._process.send(ForwarderStart(json.dumps(asdict(self._settings)), self._gateway, self._folder))
        fed = {stream.bus for stream in self._streams.values()}
        for bus in sorted(fed | self._losses.keys()):
            self._process.send(self._losses.get(bus, GatewayLosses(bus, 0, 0, 0)))
        for number in self._streams:
            self._pass_stream(number)
        for bus in sorted(self._safe.keys() - fed):
            # The forwarder before may have had frames of a stream that it had read to its end.
            ended, other = socket.socketpair()
            other.close()
            self._process.send(NewFeed(bus, next(self._numbers), self._safe[bus]), ended)

    def on_message(self, message: Message) -> None:
        if isinstance(message, ForwarderReport):
            self._report = message
            for number in message.ended:
                if stream := self._streams.pop(number, None):
                    stream.socket.close()

    def on_end(self, status: int) -> None:
        report, self._report = self._report, None
        self._in_order = status in _IN_ORDER
        for bus in report.buses if report else ():
            earlier = self._earlier.setdefault(bus.name, dict.fromkeys(_LOST, 0))
            for place in _LOST:
                earlier[place] += getattr(bus, place)
            if bus.safe:
                self._safe[bus.name] = bus.safe
        if self._settings is None:
            self._close_streams()

    def log(self, level: int, text: str) -> None:
        log.log(level, "%s", text, extra={"bus": EVENTS})

    def _pass_stream(self, number: int) -> None:
        stream = self._streams[number]
        safe = self._safe.get(stream.bus)
        if safe is None:
            # A forwarder that has the stream and reports no stored frame: a crash may cost the first ones.
            losses = self._losses.get(stream.bus, GatewayLosses(stream.bus, 0, 0, 0))
            self._safe[stream.bus] = SafePosition("", 0, 0, losses.kernel, losses.adapter, losses.unknown)
        self._process.send(NewFeed(stream.bus, number, safe), stream.socket.dup())

    def _close_streams(self) -> None:
        while self._streams:
            self._streams.popitem()[1].socket.close()
