"""Connections of a bus's clients while no worker serves them, and until a new worker shows that it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.ipc.messages import ClientHandover
from cancorderd.supervisor.freed_memory import LARGE, return_freed_memory
from cancorderd.supervisor.worker_process import HeldClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.supervisor.worker_process import Tap


class HeldClients:
    """Clients, taps and readers. `left` is called with the address of a client that left while it was held."""

    def __init__(self, left: Callable[[str], None]) -> None:
        self._left = left
        self._held: list[HeldClient] = []
        """Those for the next worker."""
        self._lent: list[HeldClient] = []
        """Those whose sockets the current worker was sent. Kept until its first report, which shows that it
        has them, so that a worker that ends before loses none."""

    @property
    def all(self) -> list[HeldClient]:
        """Those that no worker has reported yet."""
        return self._lent + self._held

    def add(self, client: HeldClient) -> None:
        """Hold a connection for the next worker."""
        self._held.append(client)

    def lend(self, tap: Tap | None) -> list[HeldClient]:
        """Return those who are still there, for a worker that starts; `tap` is among them."""
        if tap and not any(held.handover.printer for held in self._held):
            handover = ClientHandover("", time.monotonic(), 0, 0, 0, tap=True, marked=True)
            self._held.append(HeldClient(handover, tap.open_stream(), b""))
        self.drop_gone()
        self._lent, self._held = self._held, []
        return self._lent

    def close_lent(self) -> None:
        """Close the sockets here that the worker has by now."""
        lent, self._lent = self._lent, []
        release(lent)

    def take_back(self) -> None:
        """Keep those that were lent for the next worker."""
        self._held, self._lent = self.all, []

    def take(self) -> list[HeldClient]:
        """Return all of them, and hold them no longer."""
        clients, self._held, self._lent = self.all, [], []
        return clients

    def drop_gone(self) -> None:
        """Close the connections of clients that have left while no worker ran."""
        present = []
        for held in self._held:
            if held.handover.printer or not held.gone:
                present.append(held)
                continue
            held.socket.close()
            if not held.handover.tap:
                self._left(held.handover.address)
        self._held = present


def release(clients: list[HeldClient]) -> None:
    """Close these connections here and forget their unsent bytes; empties the list."""
    size = sum(len(held.unsent) for held in clients)
    while clients:
        clients.pop().socket.close()
    if size >= LARGE:
        return_freed_memory()
