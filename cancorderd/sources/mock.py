"""mock: a bus without an adapter, on which `simulator`'s tester talks to its ECU, or numbered frames flood."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.errors import SettingsRefused
from cancorderd.simulator import Simulation
from cancorderd.simulator.options import options_of
from cancorderd.sources.base import Counted
from cancorderd.sources.filters import acceptance

if TYPE_CHECKING:
    from cancorderd.config.model import MockBus
    from cancorderd.frame import Batch


def open_source(section: MockBus) -> MockSource:
    return MockSource(section)


class MockSource(Counted):
    """Plays the simulation by the clock."""

    def __init__(self, section: MockBus) -> None:
        super().__init__()
        try:
            options = options_of(section)
        except ValueError as error:
            raise SettingsRefused(f"{error}.") from error
        self._simulation = Simulation(options, time.monotonic(), acceptance(section.filters))

    def due(self, now_s: float) -> float | None:
        due_s = self._simulation.due_s()
        return None if due_s is None else max(0.0, due_s - now_s)

    def read(self, now_s: float) -> Batch:
        return self._simulation.advance(now_s, time.time_ns() // 1000)

    def audience(self, clients: int, now_s: float) -> None:
        self._simulation.clients(clients, now_s)

    def close(self) -> None:
        """Nothing is held."""
