"""Source of a mock bus, without hardware: a simulated tester and ECU, or a flood of frames of a pattern."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import SettingsRefused
from cancorderd.adapters.filters import acceptance
from cancorderd.host_clock import clocks_us
from cancorderd.simulator.limits import DEFAULT_DATA_BITRATE
from cancorderd.simulator.options import Options
from cancorderd.simulator.simulation import Simulation

if TYPE_CHECKING:
    from cancorderd.adapters.mock_settings import MockSettings
    from cancorderd.protocol.batch import Batch


def options_of(settings: MockSettings) -> Options:
    """Return the options of the simulation. Raises SettingsRefused."""
    try:
        return Options(
            tester_id=settings.tester_id,
            ecu_id=settings.ecu_id,
            speed=settings.speed,
            loop=settings.loop,
            start=settings.start,
            seed=settings.seed,
            extended=settings.extended,
            fd=settings.fd,
            bitrate=settings.bitrate,
            data_bitrate=settings.data_bitrate or DEFAULT_DATA_BITRATE,
            background=settings.background,
            pattern=settings.pattern,
            rate=settings.rate,
            id=settings.id,
            length=settings.length,
            burst=settings.burst,
            count=settings.count,
            test_id=settings.test_id,
            busy_rate=settings.busy_rate,
            conditions_rate=settings.conditions_rate,
            wrong_key_rate=settings.wrong_key_rate,
            transfer_error_rate=settings.transfer_error_rate,
            slip_rate=settings.slip_rate,
        )
    except ValueError as error:
        raise SettingsRefused(str(error)) from error


class MockSource(BaseSource):
    """Source that runs a simulation in real time."""

    def __init__(self, settings: MockSettings) -> None:
        super().__init__()
        self._simulation = Simulation(options_of(settings), time.monotonic(), acceptance(settings.filters))
        self._begins_with_a_client = settings.start == "client"
        self._note_audience(0)

    def due(self, now_s: float) -> float | None:
        due_s = self._simulation.due_s()
        return None if due_s is None else max(0.0, due_s - now_s)

    def read(self, now_s: float) -> Batch:
        epoch_us, monotonic_us = clocks_us()
        # The epoch at `now_s`, which may be long ago in a busy process.
        batch = self._simulation.advance(now_s, epoch_us - monotonic_us + round(now_s * 1e6))
        self.error_frames = self._simulation.malformed
        self.narration += self._simulation.narration.take(now_s)
        return batch

    def audience(self, clients: int, now_s: float) -> None:
        self._simulation.set_client_count(clients, now_s)
        self._note_audience(clients)

    def _note_audience(self, clients: int) -> None:
        """Let the status say why nothing comes while there is no client."""
        waits = self._begins_with_a_client and not clients
        self.details = {"idle": "waits for a client"} if waits else {}

    def close(self) -> None:
        """Do nothing: there is no device to release."""
