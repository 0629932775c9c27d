"""Which port each bus gets: a configured one, the one that it had before, or the first free one.

`listeners` opens the sockets, `port_memory` keeps the ports of buses without `port`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cancorderd.supervisor.listeners import (
    ListenerKeeper,
    ListenRequest,
    PortUnavailable,
    listen_on_free_port,
    renew,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.listeners import Renewal
    from cancorderd.supervisor.port_memory import PortMemory

log = logging.getLogger("cancorderd")


class BusPorts:
    """Owner of the ports of all buses."""

    def __init__(self, keeper: ListenerKeeper, memory: PortMemory) -> None:
        self._keeper = keeper
        self._memory = memory
        self._fixed: set[int] = set()
        """Ports that the configuration gives to a bus, enabled or not: no other bus takes them."""

    def fix(self, buses: Iterable[BusSettings]) -> None:
        """Take the ports of another configuration."""
        self._fixed = {settings.port for settings in buses if settings.port}

    def prepare(self, buses: Iterable[BusSettings]) -> None:
        """Open the available ports of buses that are to start."""
        requests = {}
        for settings in buses:
            port = settings.port or self._remembered_port(settings)
            requests[settings.name] = ListenRequest(settings.listen, port)
        self._keeper.prepare(requests)

    def open_port(self, bus: Bus) -> tuple[int, list[socket.socket]]:
        """Return a bus's port and its listening sockets. Raises PortUnavailable.

        A configured port is used; otherwise the remembered port; otherwise the first free port.
        """
        settings = bus.settings
        port = settings.port or self._remembered_port(settings)
        if port is None:
            return self._open_free_port(bus)
        try:
            sockets = self._keeper.open(bus.name, settings.listen, port)
        except PortUnavailable as error:
            if settings.port or not error.owner:
                raise
            # Another program has the kept port, perhaps by chance for a connection: the bus goes on without it.
            other, sockets = self._open_free_port(bus)
            log.warning(
                "port %d, which is kept for this bus, is in use by %s: port %d until the bus is started again. "
                "End that program, or set port.",
                port, error.owner, other, extra={"bus": bus.name},
            )  # fmt: skip
            return other, sockets
        if settings.port is None:
            self._remember(bus, port)
        return port, sockets

    def renew_port(self, bus: Bus, sockets: list[socket.socket]) -> Renewal:
        renewal = renew(bus.settings.listen, bus.port, sockets)
        if renewal.stale or renewal.fresh:
            self._keeper.replace(bus.name, renewal)
        return renewal

    def close_port(self, bus: Bus, sockets: list[socket.socket]) -> None:
        self._keeper.close(bus.name, sockets)

    def _open_free_port(self, bus: Bus) -> tuple[int, list[socket.socket]]:
        """Return the first free port and its sockets."""
        port, sockets = listen_on_free_port(bus.settings.listen, self._fixed | self._memory.others(bus.name))
        self._keeper.adopt(bus.name, sockets)
        self._remember(bus, port)
        return port, sockets

    def _remember(self, bus: Bus, port: int) -> None:
        """Keep the port for a bus that has no kept port, or whose kept port is fixed for another bus."""
        if self._memory.get(bus.name) in (None, *self._fixed):
            self._memory.remember(bus.name, port)

    def _remembered_port(self, settings: BusSettings) -> int | None:
        """Return the earlier port of a bus without `port`; None if that port is fixed for another bus."""
        port = self._keeper.inherited_port(settings.name, settings.listen) or self._memory.get(settings.name)
        return None if port in self._fixed else port
