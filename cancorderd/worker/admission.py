"""Which clients a bus serves: allowed networks, and how many clients, of all hosts and of each. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cancorderd.worker.client_connection import ip_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.worker.client_connection import ClientConnection


class Admission:
    """The rules in the settings of a bus."""

    def __init__(self, settings: BusSettings) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in settings.allow]
        self._max_clients = settings.max_clients
        self._max_per_host = settings.max_clients_per_host

    def allows(self, host: str) -> bool:
        """Return whether a client may have this address. Raises ValueError if it is none."""
        if not self._networks:
            return True
        address = ip_address(host)
        return any(address in network for network in self._networks)

    def reached_limit(self, host: str, others: Collection[ClientConnection]) -> str:
        """Return the limit that allows no further client from this host beside `others`; empty if there is none."""
        if sum(not other.tap for other in others) >= self._max_clients:
            return f"max_clients is {self._max_clients}"
        limit = self._max_per_host
        if limit is not None and host and sum(other.host == host for other in others) >= limit:
            return f"max_clients_per_host is {limit}"
        return ""
