"""The listening sockets of one bus, which stay open while workers come and go, and the port that it has or had.

`bus_ports` chooses the port and owns the sockets of all buses.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from cancorderd.protocol.addresses import missing_text
from cancorderd.supervisor.listeners import missing

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.listeners import Renewal


class PortOwner(Protocol):
    """Source of the listening sockets of all buses."""

    def open_port(self, bus: Bus) -> tuple[int, list[socket.socket]]:
        """Return the port for this bus and its listening sockets. Raises PortUnavailable."""

    def renew_port(self, bus: Bus, sockets: list[socket.socket]) -> Renewal:
        """Bind the addresses that have come, and close the sockets that nothing reaches any more."""

    def close_port(self, bus: Bus, sockets: list[socket.socket]) -> None:
        """Take the sockets back."""


class BusListeners:
    """Port and listening sockets of one bus. `log` receives the level and the text of a line."""

    def __init__(self, bus: Bus, owner: PortOwner, log: Callable[[int, str], None]) -> None:
        self._bus = bus
        self._owner = owner
        self._log = log
        self.port: int | None = bus.settings.port
        """The port that is open or was the last one; None if the next start chooses one."""
        self.sockets: list[socket.socket] = []
        self.missing: list[str] = []
        """Addresses of `listen` that this machine does not have at present."""

    def open(self) -> None:
        """Open the port if it is closed. Raises PortUnavailable."""
        if not self.sockets:
            self.port, self.sockets = self._owner.open_port(self._bus)
            self._note_missing(missing(self._bus.settings.listen))

    def close(self) -> None:
        sockets, self.sockets, self.missing = self.sockets, [], []
        self._owner.close_port(self._bus, sockets)

    def differ(self, settings: BusSettings) -> bool:
        """Return whether these settings want another port or other addresses than the bus has."""
        if settings.listen != self._bus.settings.listen:
            return True
        if settings.port is None:
            return self._bus.settings.port is not None
        return settings.port != self.port

    def follow_addresses(self) -> tuple[list[socket.socket], bool]:
        """Bind addresses that have come, and close those that are gone; returns the new sockets, and whether anything changed."""
        renewal = self._owner.renew_port(self._bus, self.sockets)
        self.sockets = renewal.kept + renewal.fresh
        noted = self._note_missing(missing(self._bus.settings.listen))
        return renewal.fresh, bool(noted or renewal.fresh or renewal.stale)

    def _note_missing(self, addresses: list[str]) -> bool:
        """Remember and log which addresses this machine does not have; returns whether they are others than before."""
        before, self.missing = self.missing, addresses
        if new := [address for address in addresses if address not in before]:
            self._log(logging.WARNING, missing_text(new))
        if found := [address for address in before if address not in addresses]:
            self._log(logging.INFO, f"listen: this machine has {', '.join(found)} now")
        return before != addresses
