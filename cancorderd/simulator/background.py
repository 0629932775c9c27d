"""Background traffic: cyclic frames as a body bus has them. Pure.

Each id has its period, a rolling counter and a checksum as AUTOSAR's E2E profile 1 has them (CRC-8 of SAE
J1850, counter 0 to 14); some tell what the car does. The periods are scaled together until all ids make the
rate asked for. An id whose last frame still waits for the bus sends none.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator.bus import BusFrame

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cancorderd.simulator.vehicle import Vehicle

COUNTER_VALUES = 15


class Cyclic(NamedTuple):
    """One id's frame: `values` fills what checksum and counter leave of its eight bytes."""

    arbitration_id: int
    period_ms: int
    values: Callable[[Vehicle, int], bytes]
    engine: bool = False
    """Comes from the ECU that is diagnosed, and so not while that is silenced or resets."""


def _motion(car: Vehicle, _count: int) -> bytes:
    return round(car.rpm * 4).to_bytes(2, "big") + bytes([round(car.throttle * 250), car.gear, 0, 0])


def _wheels(car: Vehicle, _count: int) -> bytes:
    speed = round(car.speed_kmh * 100)
    return b"".join((speed + at).to_bytes(2, "big") for at in (0, 3, 1))


def _speed(car: Vehicle, _count: int) -> bytes:
    return round(car.speed_kmh * 100).to_bytes(2, "big") + bytes([car.standing, 0x7D, 0, 0])


def _climate(car: Vehicle, _count: int) -> bytes:
    temperatures = (car.ambient_c, car.coolant_c, car.intake_c)
    return bytes(round(celsius + 50) for celsius in temperatures) + bytes([0x2A, 0x2A, 0])


def _supply(car: Vehicle, _count: int) -> bytes:
    return round(car.battery_v * 100).to_bytes(2, "big") + bytes([round(car.fuel * 200), car.engine_on, 0, 0])


def _clock(_car: Vehicle, count: int) -> bytes:
    return count.to_bytes(4, "big") + bytes(2)


def _still(_car: Vehicle, _count: int) -> bytes:
    return bytes(6)


def _presence(_car: Vehicle, _count: int) -> bytes:
    return b"\x10\x40\x00\x00\x00\x01"


TRAFFIC = (
    Cyclic(0x0A8, 10, _motion),
    Cyclic(0x0B2, 10, _wheels),
    Cyclic(0x0B4, 10, _speed),
    Cyclic(0x0FD, 20, _speed),
    Cyclic(0x106, 20, _still),  # brake
    Cyclic(0x116, 20, _wheels),
    Cyclic(0x130, 50, _still),  # steering wheel buttons
    Cyclic(0x1A0, 50, _motion, engine=True),
    Cyclic(0x20A, 100, _still),  # doors
    Cyclic(0x21E, 100, _supply),
    Cyclic(0x2C1, 100, _climate),
    Cyclic(0x30B, 100, _still),  # lamps
    Cyclic(0x366, 200, _still),  # seat belts
    Cyclic(0x3C0, 200, _supply),
    Cyclic(0x3D5, 500, _climate),
    Cyclic(0x4A1, 1000, _clock),
    *(Cyclic(node, 1000, _presence) for node in (0x500, 0x501, 0x505, 0x50C)),  # network management
)
NATURAL_RATE = sum(1000 / cyclic.period_ms for cyclic in TRAFFIC)


class Background:
    """The rest of the bus, as one node. `rate` is frames per second of simulated time."""

    def __init__(
        self,
        rate: float,
        flags: int,
        vehicle: Vehicle,
        engine_talking: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self.outbox: list[BusFrame] = []
        self.accepts: frozenset[int] = frozenset()
        self._flags = flags
        self._vehicle = vehicle
        self._engine_talking = engine_talking
        self._stretch = NATURAL_RATE / rate / 1000 if rate else math.inf
        self._counts = [0] * len(TRAFFIC)
        self._waiting: set[int] = set()
        self._schedule: list[tuple[float, int]] = []
        if rate:
            # Nodes wake at different times, so their frames do not come in one burst.
            first = (rng.random() * cyclic.period_ms * self._stretch for cyclic in TRAFFIC)
            self._schedule = [(at, which) for which, at in enumerate(first)]
            heapq.heapify(self._schedule)

    @property
    def due(self) -> float:
        return self._schedule[0][0] if self._schedule else math.inf

    def receive(self, frame: BusFrame, now: float) -> None:
        """Nobody here listens."""

    def sent(self, frame: BusFrame, _now: float) -> None:
        self._waiting.discard(frame.arbitration_id)

    def wake(self, now: float) -> None:
        """Send what is due."""
        while self.due <= now:
            at, which = self._schedule[0]
            cyclic = TRAFFIC[which]
            heapq.heapreplace(self._schedule, (at + cyclic.period_ms * self._stretch, which))
            self._counts[which] += 1
            if cyclic.engine and not self._engine_talking():
                continue
            if cyclic.arbitration_id not in self._waiting:
                self._waiting.add(cyclic.arbitration_id)
                self.outbox.append(self._frame(cyclic, self._counts[which], now))

    def _frame(self, cyclic: Cyclic, count: int, now: float) -> BusFrame:
        self._vehicle.until(now)
        body = bytes([count % COUNTER_VALUES]) + cyclic.values(self._vehicle, count)
        checksum = crc8(bytes([cyclic.arbitration_id & 0xFF]) + body)
        return BusFrame(cyclic.arbitration_id, bytes([checksum]) + body, self._flags)


def crc8(data: bytes) -> int:
    """CRC-8 of SAE J1850: polynomial 0x1D, start and end 0xFF."""
    value = 0xFF
    for byte in data:
        value = _CRC8[value ^ byte]
    return value ^ 0xFF


def _crc8_entry(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ (0x1D if value & 0x80 else 0)) & 0xFF
    return value


_CRC8 = bytes(map(_crc8_entry, range(0x100)))
