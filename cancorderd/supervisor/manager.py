"""All buses of one configuration: started, reloaded, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import cancorderd
from cancorderd.ipc.messages import MOST_READERS
from cancorderd.printable import printable
from cancorderd.supervisor import backlog_shares
from cancorderd.supervisor.bus import Bus
from cancorderd.supervisor.bus_ports import BusPorts
from cancorderd.supervisor.changes import Change, ChangeKind, differing_keys, find_changes
from cancorderd.supervisor.forwarding import Forwarding
from cancorderd.supervisor.heartbeat import CHECK_EVERY_S, Check
from cancorderd.supervisor.listeners import ListenerKeeper
from cancorderd.supervisor.port_memory import PortMemory
from cancorderd.supervisor.start_queue import StartQueue
from cancorderd.supervisor.state_machine import Event, State
from cancorderd.supervisor.status import bus_status
from cancorderd.supervisor.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.configuration import Configuration
    from cancorderd.control.protocol import StatusAnswer, WebStatus
    from cancorderd.supervisor.side_process import SideProcess
    from cancorderd.supervisor.worker_process import NewWorker, Tap

log = logging.getLogger("cancorderd")

_NOTED_STANDSTILL_S = 2.0
"""Shorter standstills are excused without a word in the log."""
ADDRESS_CHECK_S = 1.9
"""Interval at which addresses are looked for: every second check of the heartbeats."""
ADAPTER_CHECK_S = 0.9
"""Interval at which the adapters of failed buses are looked for: every fourth check of the heartbeats."""
_SETTLE_WITHIN_S = 10.0
_END_WITHIN_S = 3.0
"""For all workers together: SIGTERM, SIGABRT and SIGKILL follow each other within 2 s (`state_machine.Policy`)."""
_FORWARDED_WITHIN_S = 4.3
"""The same with the forwarder, which ends after them: the daemon has 5 s."""
_WRITTEN_WITHIN_S = 1.0
"""Time for the ports that are not written yet."""
_UNSETTLED = (State.STARTING, State.STOPPING)
_UNDONE = (*_UNSETTLED, State.FAILED)
"""States in which a bus is not as a reload wants it. An adapter that is absent or fails is no fault of the file."""
_NOT_SERVED = (State.FAILED, State.STOPPED, State.DISABLED)
"""States without a worker, now and until somebody starts the bus."""
_WITHOUT_WORKER = (State.DISABLED, State.STOPPED)
_RELOADED_KEYS = ("log_level", "backlog_total")
"""Keys of [daemon] that a reload puts in force."""
_REQUESTED = {
    Event.START: (State.RUNNING, State.WAITING),
    Event.RESTART: (State.RUNNING, State.WAITING),
    Event.STOP: (State.STOPPED, State.DISABLED),
}
"""States in which a bus is as a command wants it."""


class UnknownBus(Exception):
    """There is no bus of that name. `str()` lists the existing names."""


class NotServed(Exception):
    """A bus has no frames to read. `str()` is the reason, with the remedy."""


class Ending(Exception):
    """All buses are being stopped: nothing can be changed any more."""

    def __init__(self) -> None:
        super().__init__("cancorderd is ending")


class Outcome(NamedTuple):
    """A bus after a command or reload, as it was when that was done or its time was over."""

    bus: str
    state: State
    reason: str
    done: bool
    """Whether the bus is as requested."""


class ReloadOutcome(NamedTuple):
    """Changes of a reload, and the changed buses that are `failed` or not settled in time."""

    changes: list[Change]
    undone: list[Outcome]


class Manager:
    """Every bus by name. `bus_changed` is called after each change of a bus."""

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        bus_changed: Callable[[Bus], None],
        *,
        keeper: ListenerKeeper | None = None,
        memory: PortMemory | None = None,
        tap: Tap | None = None,
        new_worker: NewWorker = WorkerProcess,
        settle_within_s: float = _SETTLE_WITHIN_S,
        forwarding: Forwarding | None = None,
    ) -> None:
        self.configuration = configuration
        self.path = path
        self._bus_changed = bus_changed
        self._memory = memory or PortMemory(configuration.daemon.state_dir)
        self._ports = BusPorts(keeper or ListenerKeeper(), self._memory)
        self._tap = tap
        self._new_worker = new_worker
        self._starts = StartQueue()
        self._forwarding = forwarding or Forwarding()
        self._settle_within_s = settle_within_s
        self._started_s = time.monotonic()
        self._daemon_settings = configuration.daemon
        self._reloading = asyncio.Lock()
        self._ending = False
        self._backlog_total = self._backlog_share = 0
        """Bytes for the backlogs of all clients of all buses, and of each bus; set when the configuration is."""
        self.web: SideProcess | None = None
        """The process of the page, if this daemon starts it."""
        self.buses: dict[str, Bus] = {}
        self._removed: list[Bus] = []
        """Removed buses whose workers have not ended yet."""
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Start every enabled bus; on return, every available port is open."""
        self._ports.fix(self.configuration.buses)
        self._ports.prepare(settings for settings in self.configuration.buses if settings.enabled)
        self._limit_backlogs()
        self._forwarding.configure(self.configuration.forward, self.configuration.daemon.state_dir)
        self._start_enabled([self._add(settings) for settings in self.configuration.buses])

    async def watch_heartbeats(
        self, checked: Callable[[float], None] = lambda _now_s: None, every_s: float = CHECK_EVERY_S
    ) -> None:
        """Check heartbeats and addresses of all buses for ever; calls `checked` with the time after each round."""
        addresses_due_s = adapters_due_s = 0.0
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(every_s)
            now_s = time.monotonic()
            check, last_s = Check(now_s, last_s, every_s), now_s
            if check.stood_still_s > _NOTED_STANDSTILL_S:
                log.warning(
                    "cancorderd stood still for %.0f s: it was stopped or paused, or had no processor time. "
                    "The watchdog of each worker starts over.",
                    check.stood_still_s,
                )
            check_addresses = now_s >= addresses_due_s
            if check_addresses:
                addresses_due_s = now_s + ADDRESS_CHECK_S
            check_adapters = now_s >= adapters_due_s
            if check_adapters:
                adapters_due_s = now_s + ADAPTER_CHECK_S
            for bus in self.buses.values():
                try:
                    bus.check_heartbeat(check)
                    if check_adapters:
                        bus.check_adapter()
                    if check_addresses:
                        bus.check_addresses()
                except Exception:  # a bug, which must not end the watch over the other buses
                    log.exception("the check of the bus failed", extra={"bus": bus.name})
            self._report_losses()
            self._memory.check(now_s)
            checked(now_s)

    def planned_changes(self, configuration: Configuration) -> list[Change]:
        """Return the changes that `reload` with this configuration would make."""
        before = {name: bus.settings for name, bus in self.buses.items()}
        return find_changes(before, _by_name(configuration), self._displaced(configuration))

    async def reload(self, configuration: Configuration) -> ReloadOutcome:
        """Put a checked configuration in force, and return the changes when they are, or after 10 s.

        Raises Ending; some of the changes may have been made then.
        """
        async with self._reloading, AsyncExitStack() as turns:
            self._check_not_ending()
            changes = self.planned_changes(configuration)
            displaced = self._displaced(configuration)
            # From now on, a command that starts a bus takes no port that this configuration gives to another bus.
            self.configuration = configuration
            self._ports.fix(configuration.buses)
            self._limit_backlogs()
            forwarding = self._forwarding.configure(configuration.forward, configuration.daemon.state_dir)
            if forwarding:
                self._change_feeds()
            touched = [change for change in changes if change.kind != ChangeKind.UNCHANGED]
            # New buses exist from now on, so that a command for one of them waits for its turn.
            for settings in configuration.buses:
                if settings.name not in self.buses:
                    self._add(settings)
            # All turns are requested at once: a command that arrives while one is waited for comes later.
            held = [self.buses[change.bus] for change in touched]
            await asyncio.gather(*(turns.enter_async_context(bus.turn) for bus in held))
            ended = self._end_buses(touched)
            # Buses that end, end completely before others start, which may want their port or adapter.
            await self.settle(ended)
            self._check_not_ending()
            self._go_on(touched, displaced)
            self._change_feeds()
            await self.settle(held)
        return ReloadOutcome(changes, [_outcome(bus, done=False) for bus in held if bus.state in _UNDONE])

    def needs_restart(self, configuration: Configuration) -> list[str]:
        """Return the keys of [daemon] that take effect only when the daemon restarts, and differ from those in effect."""
        keys = differing_keys(self._daemon_settings, configuration.daemon)
        return [key for key in keys if key not in _RELOADED_KEYS]

    async def control(self, name: str, event: Event) -> Outcome:
        """Start, stop or restart a bus, and return the outcome. Raises UnknownBus or Ending.

        Commands and reloads that concern a bus are carried out one after another, in the order of their arrival.
        """
        while True:
            bus = self._known_bus(name)
            async with bus.turn:
                self._check_not_ending()
                if self.buses.get(name) is bus:
                    bus.handle(event)
                    await self.settle([bus])
                    return _outcome(bus, done=bus.state in _REQUESTED[event])
                # A reload has removed the bus in the meantime.

    def add_reader(self, name: str, sock: socket.socket, unsent: bytes) -> None:
        """Send a bus's frames on a Unix socket, as `Bus.add_reader` does; the socket is the bus's own from then on.

        Raises UnknownBus, NotServed or Ending.
        """
        bus = self._known_bus(name)
        self._check_not_ending()
        if bus.state in _NOT_SERVED:
            reason = f"{bus.state}: {bus.reason} Then start it" if bus.reason else f"{bus.state}. Start it"
            raise NotServed(f"{name} is {reason}: cancorderctl start {name}")
        if bus.readers >= MOST_READERS:
            raise NotServed(f"{name} has {MOST_READERS} readers, as many as it serves. End one of them.")
        bus.add_reader(sock, unsent)

    async def settle(self, buses: Iterable[Bus]) -> None:
        """Wait until none of `buses` is starting or stopping, for at most 10 s."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settle_within_s):
                while any(bus.state in _UNSETTLED for bus in buses):
                    self._changed.clear()
                    await self._changed.wait()

    async def stop(self) -> None:
        """Stop every bus, for good, and return when no worker runs.

        A process that even SIGKILL does not end, since the kernel waits for a device, is left behind after 3 s.
        """
        self._ending = True
        deadline_s = time.monotonic() + _FORWARDED_WITHIN_S
        for bus in self.buses.values():
            bus.handle(Event.STOP)
        waiting = {
            asyncio.create_task(bus.wait_for_worker()): bus for bus in (*self.buses.values(), *self._removed)
        }
        written = asyncio.create_task(self._memory.written(_WRITTEN_WITHIN_S))
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=_END_WITHIN_S)
            for task in left:
                task.cancel()
                log.error(
                    "the worker of %s (process %s) does not end: left behind",
                    waiting[task].name,
                    waiting[task].pid,
                )
        # It reads the streams of the workers to their ends.
        await self._forwarding.stop(deadline_s - time.monotonic())
        await written

    def worker_pids(self) -> set[int]:
        """Return the process ids of all workers, the page and the forwarder, whose ends their owners wait for."""
        pids = [bus.pid for bus in (*self.buses.values(), *self._removed)]
        if self.web:
            pids.append(self.web.pid)
        pids.append(self._forwarding.pid)
        return {pid for pid in pids if pid is not None}

    def status(self) -> StatusAnswer:
        return {
            "schema": 1,
            "host": printable(socket.gethostname()),
            "time": round(time.time(), 3),
            "version": cancorderd.__version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "config": self.path,
            "web": self._web_status(),
            "buses": [bus_status(bus) for bus in self.buses.values()],
            "forward": self._forwarding.status(),
        }

    def _web_status(self) -> WebStatus | None:
        settings = self.configuration.web
        if settings is None:
            return None
        return {"address": settings.address, "reason": self.web.reason if self.web else ""}

    def _displaced(self, configuration: Configuration) -> set[str]:
        """Return the buses whose automatic port is given to another bus by this configuration."""
        owners = {settings.port: settings.name for settings in configuration.buses if settings.port}
        return {
            settings.name
            for settings in configuration.buses
            if settings.port is None
            and (bus := self.buses.get(settings.name)) is not None
            and bus.reachable
            and bus.port in owners
        }

    def _known_bus(self, name: str) -> Bus:
        bus = self.buses.get(name)
        if bus is None:
            known = ", ".join(self.buses) or "none"
            raise UnknownBus(f"there is no bus {name}. Buses: {known}.")
        return bus

    def _check_not_ending(self) -> None:
        if self._ending:
            raise Ending

    def _add(self, settings: BusSettings) -> Bus:
        """Add a bus that is not started yet."""
        bus = Bus(
            settings,
            self._ports,
            self._on_change,
            tap=self._tap,
            new_worker=self._new_worker,
            starts=self._starts,
            feeds=self._forwarding,
        )
        bus.set_backlog_share(self._backlog_share)
        self.buses[bus.name] = bus
        return bus

    def _end_buses(self, touched: Iterable[Change]) -> list[Bus]:
        """Let the buses that a reload removes or disables end, and return them."""
        settings = _by_name(self.configuration)
        ended = []
        for change in touched:
            if change.kind == ChangeKind.REMOVED:
                bus = self.buses.pop(change.bus)
                self._removed.append(bus)
                bus.handle(Event.DISABLE)
            elif change.kind == ChangeKind.DISABLED:
                bus = self.buses[change.bus]
                bus.replace_settings(settings[change.bus])
            else:
                continue
            ended.append(bus)
        return ended

    def _go_on(self, touched: Iterable[Change], displaced: Collection[str]) -> None:
        """Put the settings of all other changed buses in force, and start the new ones."""
        settings = _by_name(self.configuration)
        changed = []
        added = []
        for change in touched:
            match change.kind:
                case ChangeKind.ADDED:
                    added.append(self.buses[change.bus])
                case ChangeKind.REMOVED | ChangeKind.DISABLED:
                    pass
                case _:
                    changed.append(self.buses[change.bus])
        # Every port that is given up is closed before any is opened: two buses may swap theirs.
        for bus in changed:
            if bus.name in displaced or bus.moves(settings[bus.name]):
                bus.leave_port()
        for bus in changed:
            bus.replace_settings(settings[bus.name], restart=bus.name in displaced)
        self._start_enabled(added)
        self.buses = {name: self.buses[name] for name in settings}

    def _start_enabled(self, buses: Iterable[Bus]) -> None:
        for bus in buses:
            if bus.settings.enabled:
                bus.handle(Event.START)

    def _report_losses(self) -> None:
        """Pass on the losses of each bus before the forwarder. A failure here costs no bus."""
        for bus in self.buses.values():
            self._report_losses_of(bus)

    def _report_losses_of(self, bus: Bus) -> None:
        try:
            if bus.fed:
                counts = bus.counts
                self._forwarding.take_losses(
                    bus.name, counts.lost_kernel, counts.lost_adapter, counts.lost_unknown, counts.fed
                )
        except Exception:
            log.exception("the losses of a bus could not be passed to the forwarder")

    def _change_feeds(self) -> None:
        """Let the workers that run feed the forwarder exactly if their buses are forwarded."""
        for bus in self.buses.values():
            bus.change_feed(wanted=self._forwarding.on and bus.settings.forwardable)

    def _limit_backlogs(self) -> None:
        """Put the configuration's limit for the backlogs of all clients in force."""
        self._backlog_total = backlog_shares.total(self.configuration.daemon.backlog_total)
        self._share_backlogs()

    def _share_backlogs(self) -> None:
        """Divide the limit among the enabled buses, and those that run nevertheless."""
        enabled = {settings.name for settings in self.configuration.buses if settings.enabled}
        running = {bus.name for bus in self.buses.values() if bus.state not in _WITHOUT_WORKER}
        self._backlog_share = backlog_shares.share(self._backlog_total, len(enabled | running))
        for bus in self.buses.values():
            bus.set_backlog_share(self._backlog_share)

    def _on_change(self, bus: Bus) -> None:
        if bus.state == State.DISABLED or not bus.settings.enabled:
            self._share_backlogs()
        self._report_losses_of(bus)
        if bus in self._removed and bus.state not in _UNSETTLED:
            self._removed.remove(bus)
            self._forwarding.remove(bus.name)
        self._changed.set()
        self._bus_changed(bus)


def _outcome(bus: Bus, *, done: bool) -> Outcome:
    reason = bus.reason
    if not done and not reason:
        if bus.state in _UNSETTLED:
            reason = f"{bus.state} takes longer than {_SETTLE_WITHIN_S:.0f} s"
        elif bus.state == State.DISABLED:
            reason = f"enabled = false. Use cancorderctl start {bus.name}, or set enabled = true and reload."
    return Outcome(bus.name, bus.state, reason, done)


def _by_name(configuration: Configuration) -> dict[str, BusSettings]:
    return {settings.name: settings for settings in configuration.buses}
