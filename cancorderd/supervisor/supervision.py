"""Buses that run and are announced until the end is requested: the core of the daemon and of the one-bus commands.

The control API, the service manager and files belong to the daemon alone (`cancorderd.daemon`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from cancorderd.host_clock import HostClock, clocks_us
from cancorderd.supervisor.announcer import Announcer
from cancorderd.supervisor.heartbeat import CHECK_EVERY_S
from cancorderd.supervisor.manager import Manager
from cancorderd.supervisor.orphans import Orphans
from cancorderd.supervisor.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.configuration import Configuration
    from cancorderd.config.web_settings import WebSettings
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.listeners import ListenerKeeper
    from cancorderd.supervisor.port_memory import PortMemory
    from cancorderd.supervisor.service_record import Identity
    from cancorderd.supervisor.worker_process import NewWorker, Tap

log = logging.getLogger("cancorderd.announce")
_clock_log = logging.getLogger("cancorderd.clock")


class Supervision:
    """Create it in a running loop. `manager.start` starts the buses; after that, call `stop` at the end."""

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        changed: Callable[[Bus], None],
        *,
        keeper: ListenerKeeper | None = None,
        memory: PortMemory | None = None,
        tap: Tap | None = None,
        announcer: Announcer | None = None,
        new_worker: NewWorker = WorkerProcess,
    ) -> None:
        self._changed = changed
        self._announcer = announcer or Announcer()
        self.manager = Manager(
            configuration,
            path,
            self._on_change,
            keeper=keeper,
            memory=memory,
            tap=tap,
            new_worker=new_worker,
        )
        self._orphans = Orphans(self.manager.worker_pids)
        self._end = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        """Tasks without which buses are not supervised."""
        self._announcing: list[asyncio.Task[None]] = []

    @property
    def ending(self) -> bool:
        return self._end.is_set()

    def end_on(self, *signals: signal.Signals) -> None:
        """Request the end on these signals, except those that are ignored already (nohup, &)."""
        loop = asyncio.get_running_loop()
        for number in signals:
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self.request_end)

    def request_end(self) -> None:
        """Let `wait_for_end` return."""
        self._end.set()

    def watch(self, checked: Callable[[float], None], every_s: float = CHECK_EVERY_S) -> None:
        """Check the workers' heartbeats from now on; calls `checked` with the time after each round."""
        clock = HostClock()

        def check(now_s: float) -> None:
            if step_us := clock.step_us(*clocks_us()):
                _clock_log.warning("%s", step_sentence(step_us))
            self._orphans.collect()
            checked(now_s)

        self._tasks.append(asyncio.create_task(self.manager.watch_heartbeats(check, every_s)))

    def announce(self, identity: Identity | None = None) -> None:
        """Announce the buses by Zeroconf from now on."""
        self._announcing.append(asyncio.create_task(self._announce(identity)))

    def announce_page(self, settings: WebSettings | None) -> None:
        """Announce the page for browsers, if other machines can reach it; None withdraws it."""
        self._announcer.announce_page(settings)

    async def wait_for_end(self) -> None:
        """Wait until the end is requested. If a task of ours ends before, which is a bug, raise its exception."""
        end = asyncio.create_task(self._end.wait())
        try:
            done, _ = await asyncio.wait({end, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
        for task in done - {end}:
            task.result()

    async def stop(self) -> None:
        """Withdraw the records and stop every bus; on return, no worker runs."""
        tasks = [*self._tasks, *self._announcing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(self.manager.stop(), *tasks, return_exceptions=True)

    async def _announce(self, identity: Identity | None) -> None:
        """Run the announcer. Its end, which is a bug, costs no bus."""
        try:
            await self._announcer.run(identity)
        except Exception:
            log.exception("announcing has ended. Buses are reachable, but cannot be found by browsing.")

    def _on_change(self, bus: Bus) -> None:
        if bus.reachable and bus.settings.zeroconf and bus.port and self.manager.buses.get(bus.name) is bus:
            self._announcer.announce(_with_found_adapter(bus), bus.port)
        else:
            self._announcer.withdraw(bus.name)
        self._changed(bus)


def step_sentence(step_us: int) -> str:
    direction = "ahead" if step_us > 0 else "back"
    slept = ", or the machine slept" if step_us > 0 else ""
    return (
        f"the clock of this machine was set {direction} by {abs(step_us) / 1e6:.2f} s{slept}: time stamps follow. "
        "Delays and heartbeats do not depend on it."
    )


def _with_found_adapter(bus: Bus) -> BusSettings:
    """Return the settings for the network: if the bus searches for its adapter, with the adapter that it has found."""
    found = bus.report.details.get("found") if bus.report else None
    if not found:
        return bus.settings
    interface, _, channel = found.partition(" ")
    return replace(bus.settings, interface=interface, channel=channel)
