"""Background traffic: cyclic frames like those of a body bus. Pure.

Each arbitration id has a period, and its frames are protected as in AUTOSAR's E2E profile 1: byte 0 is the
checksum, the low half of byte 1 a counter from 0 to 14, and the arbitration id is the data id, of which the low
byte counts (E2E_P1_DATAID_LOW). Some carry sensor values of the car. All periods are scaled by one factor to
reach the requested rate. If the last frame of an id still waits for the bus, the next is left out.
`contrib/mock.dbc` describes these frames.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator.simulated_bus import BusFrame

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cancorderd.simulator.vehicle import Vehicle

COUNTER_VALUES = 15


class Cyclic(NamedTuple):
    """Cyclic frame of an id: eight bytes, of which `values` fills all but checksum and counter."""

    arbitration_id: int
    period_ms: int
    values: Callable[[Vehicle, int], bytes]
    engine: bool = False
    """Sent by the diagnosed ECU: missing while that ECU is silenced or resets."""


def _motion(car: Vehicle, _count: int) -> bytes:
    return round(car.rpm * 4).to_bytes(2, "big") + bytes([round(car.throttle * 250), car.gear, 0, 0])


def _wheels(car: Vehicle, _count: int) -> bytes:
    speed = round(car.speed_kmh * 100)
    return b"".join((speed + offset).to_bytes(2, "big") for offset in (0, 3, 1))


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


class BackgroundTraffic:
    """All other nodes of the bus as a single node. `rate` is in frames per second of simulated time."""

    def __init__(
        self,
        rate: float,
        flags: int,
        vehicle: Vehicle,
        engine_transmitting: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self.outbox: list[BusFrame] = []
        self.accepts: frozenset[int] = frozenset()
        self._flags = flags
        self._vehicle = vehicle
        self._engine_transmitting = engine_transmitting
        self._stretch = NATURAL_RATE / rate / 1000 if rate else math.inf
        self._counts = [0] * len(TRAFFIC)
        self._waiting: set[int] = set()
        self._schedule: list[tuple[float, int]] = []
        if rate:
            # Real nodes start at different times, so their frames do not arrive in a burst.
            first = (rng.random() * cyclic.period_ms * self._stretch for cyclic in TRAFFIC)
            self._schedule = [(due, index) for index, due in enumerate(first)]
            heapq.heapify(self._schedule)

    @property
    def due(self) -> float:
        return self._schedule[0][0] if self._schedule else math.inf

    def receive(self, frame: BusFrame, now: float) -> None:
        """Ignore the frame: these nodes only send."""

    def sent(self, frame: BusFrame, _now: float) -> None:
        self._waiting.discard(frame.arbitration_id)

    def wake(self, now: float) -> None:
        """Send the frames that are due."""
        while self.due <= now:
            due, index = self._schedule[0]
            cyclic = TRAFFIC[index]
            heapq.heapreplace(self._schedule, (due + cyclic.period_ms * self._stretch, index))
            if cyclic.engine and not self._engine_transmitting():
                continue
            if cyclic.arbitration_id not in self._waiting:
                self._waiting.add(cyclic.arbitration_id)
                self._counts[index] += 1  # a gap in the counter would be a lost frame to its receivers
                self.outbox.append(self._frame(cyclic, self._counts[index], now))

    def _frame(self, cyclic: Cyclic, count: int, now: float) -> BusFrame:
        self._vehicle.advance(now)
        body = bytes([count % COUNTER_VALUES]) + cyclic.values(self._vehicle, count)
        checksum = e2e_checksum(bytes([cyclic.arbitration_id & 0xFF]) + body)
        return BusFrame(cyclic.arbitration_id, bytes([checksum]) + body, self._flags)


def e2e_checksum(data: bytes) -> int:
    """Return the checksum of E2E profile 1 over the data id's bytes and the data behind the checksum.

    It is the CRC-8 of SAE J1850 (polynomial 0x1D), but both initial value and final XOR are 0: the profile undoes those
    of the CRC library (AUTOSAR PRS_E2EProtocol, profile 1).
    """
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc8_entry(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ (0x1D if value & 0x80 else 0)) & 0xFF
    return value


_CRC8 = bytes(map(_crc8_entry, range(0x100)))
