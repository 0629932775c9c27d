"""Buses that run and are announced, until it is time to end: what the daemon is around, and each one-bus command.

No control interface, no service manager, no files: those are the daemon's (`cancorderd.daemon`).
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from cancorderd.supervisor.announce import Announcer
from cancorderd.supervisor.manager import HEARTBEAT_CHECK_S, Manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.model import BusBase, Configuration
    from cancorderd.supervisor.announce import Introduction
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.ports import PortKeeper, PortMemory
    from cancorderd.supervisor.process import Ear


class Supervision:
    """Made in a running loop; `manager.start` starts the buses. Whoever did that calls `stop`."""

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        changed: Callable[[Bus], None],
        *,
        keeper: PortKeeper | None = None,
        memory: PortMemory | None = None,
        ear: Ear | None = None,
    ) -> None:
        self._changed = changed
        self._announcer = Announcer()
        self.manager = Manager(configuration, path, self._on_bus, keeper=keeper, memory=memory, ear=ear)
        self._end = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ending(self) -> bool:
        return self._end.is_set()

    def end_on(self, *signals: signal.Signals) -> None:
        """Let these end it; one that whoever started the program has it ignore (nohup, &) stays ignored."""
        loop = asyncio.get_running_loop()
        for number in signals:
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self.end)

    def end(self) -> None:
        """Let `until_told` return."""
        self._end.set()

    def watch(self, checked: Callable[[float], None], every_s: float = HEARTBEAT_CHECK_S) -> None:
        """Look after the workers from now on. `checked` hears the time after each round."""
        self._tasks.append(asyncio.create_task(self.manager.watch_heartbeats(checked, every_s)))

    def announce(self, introduction: Introduction | None = None) -> None:
        """Tell the network from now on; before, it hears nothing."""
        self._tasks.append(asyncio.create_task(self._announcer.run(introduction)))

    async def until_told(self) -> None:
        """Wait for `end`, or for a task of ours that ends although it never should: that is a bug."""
        end = asyncio.create_task(self._end.wait())
        try:
            done, _ = await asyncio.wait({end, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
        for task in done - {end}:
            task.result()

    async def stop(self) -> None:
        """Withdraw the records, and stop every bus; on return, no worker is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.manager.stop(), *self._tasks, return_exceptions=True)

    def _on_bus(self, bus: Bus) -> None:
        if bus.reachable and bus.section.zeroconf and bus.port and self.manager.buses.get(bus.name) is bus:
            self._announcer.announce(_as_found(bus), bus.port)
        else:
            self._announcer.withdraw(bus.name)
        self._changed(bus)


def _as_found(bus: Bus) -> BusBase:
    """The section as the network sees it: a bus that searches has the adapter that it has found."""
    found = bus.report.details.get("found") if bus.report else None
    if not found:
        return bus.section
    interface, _, channel = found.partition(" ")
    return bus.section.model_copy(update={"interface": interface, "channel": channel})
