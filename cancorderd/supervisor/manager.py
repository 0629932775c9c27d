"""All buses of one configuration: started, reloaded as a difference, watched, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import cancorderd
from cancorderd.supervisor import ports
from cancorderd.supervisor.bus import Bus
from cancorderd.supervisor.changes import Change, Kind, changes
from cancorderd.supervisor.machine import Event, Phase
from cancorderd.supervisor.ports import PortKeeper, PortMemory
from cancorderd.supervisor.status import bus_status

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from cancorderd.config.model import BusBase, Configuration
    from cancorderd.supervisor.process import Ear

log = logging.getLogger("cancorderd")

HEARTBEAT_CHECK_S = 1.0
_SETTLED_WITHIN_S = 10.0
_UNSETTLED = (Phase.STARTING, Phase.STOPPING)


class UnknownBus(Exception):
    """No bus of that name; `str()` names those that exist."""


class Manager:
    """Every bus by name. `bus_changed` hears of each change of a bus, and `ear` all that they send."""

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        bus_changed: Callable[[Bus], None],
        *,
        keeper: PortKeeper | None = None,
        memory: PortMemory | None = None,
        ear: Ear | None = None,
    ) -> None:
        self.configuration = configuration
        self.path = path
        self._bus_changed = bus_changed
        self._keeper = keeper or PortKeeper()
        self._memory = memory or PortMemory(configuration.daemon.state_dir)
        self._ear = ear
        self._started = time.monotonic()
        self.buses: dict[str, Bus] = {}
        self._leaving: list[Bus] = []
        self._moved = asyncio.Event()

    def start(self) -> None:
        """Start every enabled bus; on return, every port that can be had is open."""
        fixed = {one.port for one in self.configuration.buses if one.port}
        wishes = {}
        for section in self.configuration.buses:
            if section.enabled:
                wanted = section.port or self._remembered_port(section, fixed)
                wishes[section.name] = (section.listen, wanted)
        self._keeper.settle(wishes)
        for section in self.configuration.buses:
            self._add(section)

    async def watch_heartbeats(
        self, checked: Callable[[float], None] = lambda _now_s: None, every_s: float = HEARTBEAT_CHECK_S
    ) -> None:
        """Look after the workers for ever. `checked` hears the time after each round over all of them."""
        while True:
            await asyncio.sleep(every_s)
            now_s = time.monotonic()
            for bus in self.buses.values():
                bus.check_heartbeat(now_s)
            checked(now_s)

    def planned(self, configuration: Configuration) -> list[Change]:
        """What `reload` with this configuration would change."""
        return changes({name: bus.section for name, bus in self.buses.items()}, _by_name(configuration))

    async def reload(self, configuration: Configuration) -> list[Change]:
        """Put a checked configuration in force; returns when it is (or after 10 s), with what changed."""
        found = self.planned(configuration)
        sections = _by_name(configuration)
        # Those that go, go first, and entirely: another bus may want their port or adapter.
        going = [one for one in found if one.kind in (Kind.REMOVED, Kind.DISABLED)]
        gone = [self.buses[one.bus] for one in going]
        for change in going:
            self._apply(change, sections.get(change.bus))
        await self.settled(gone)
        for change in found:
            if change not in going:
                self._apply(change, sections.get(change.bus))
        self.configuration = configuration
        self.buses = {name: self.buses[name] for name in sections}
        touched = [self.buses[one.bus] for one in found if one.kind not in (Kind.UNCHANGED, Kind.REMOVED)]
        await self.settled(touched)
        return found

    def needs_restart(self, configuration: Configuration) -> list[str]:
        """Keys of [daemon] that differ and take effect only when the daemon starts anew."""
        before, after = self.configuration.daemon, configuration.daemon
        was, now = before.model_dump(), after.model_dump()
        return [key for key in was if was[key] != now[key] and key != "log_level"]

    async def control(self, name: str, event: Event) -> Bus:
        """Start, stop or restart one bus, and wait until that is done. Raises UnknownBus."""
        bus = self.buses.get(name)
        if bus is None:
            known = ", ".join(self.buses) or "none"
            raise UnknownBus(f"there is no bus {name}. Buses: {known}.")
        bus.handle(event)
        await self.settled([bus])
        return bus

    async def settled(self, buses: Iterable[Bus]) -> None:
        """Wait until none of `buses` is starting or stopping, at most 10 s."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while any(bus.life.phase in _UNSETTLED for bus in buses):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), left)
            except TimeoutError:
                return

    async def stop(self) -> None:
        """Stop every bus and wait for its worker to be gone."""
        for bus in self.buses.values():
            bus.handle(Event.STOP)
        await asyncio.gather(*(bus.ended() for bus in (*self.buses.values(), *self._leaving)))

    def status(self) -> dict[str, Any]:
        return {
            "version": cancorderd.__version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "config": self.path,
            "buses": [bus_status(bus) for bus in self.buses.values()],
        }

    def _add(self, section: BusBase) -> None:
        bus = Bus(section, self._choose_port, self._on_change, self._keeper.release, ear=self._ear)
        self.buses[bus.name] = bus
        if section.enabled:
            bus.handle(Event.START)

    def _apply(self, change: Change, section: BusBase | None) -> None:
        if change.kind == Kind.UNCHANGED:
            return
        if section is None:
            bus = self.buses.pop(change.bus)
            self._leaving.append(bus)
            bus.handle(Event.DISABLE)
        elif change.kind == Kind.ADDED:
            self._add(section)
        else:
            restart = change.kind == Kind.RESTARTED
            self.buses[change.bus].replace_section(section, restart=restart)

    def _choose_port(self, bus: Bus) -> tuple[int, list[socket.socket]]:
        """The port that the bus is set to, had before, or may have from now on, and its sockets."""
        section = bus.section
        taken = {one.section.port for one in self.buses.values() if one.section.port}
        wanted = section.port or self._remembered_port(section, taken)
        if wanted is None:
            reserved = taken | self._memory.others(bus.name)
            port, sockets = ports.listen_automatically(section.listen, reserved)
            self._keeper.keep(bus.name, sockets)
        else:
            port, sockets = wanted, self._keeper.listen(bus.name, section.listen, wanted)
        if section.port is None and (problem := self._memory.remember(bus.name, port)):
            log.warning("%s", problem)
        return port, sockets

    def _remembered_port(self, section: BusBase, taken: set[int]) -> int | None:
        """What a bus without `port` had before, or what waits for it; None where another bus is set to that."""
        wanted = self._keeper.port_of(section.name, section.listen) or self._memory.get(section.name)
        return None if wanted in taken else wanted

    def _on_change(self, bus: Bus) -> None:
        self._leaving = [one for one in self._leaving if one.life.phase in _UNSETTLED]
        self._moved.set()
        self._bus_changed(bus)


def _by_name(configuration: Configuration) -> dict[str, BusBase]:
    return {section.name: section for section in configuration.buses}
