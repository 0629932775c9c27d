"""Values of the car's sensors, encoded as PIDs of SAE J1979 (J1979-DA, table B). Pure.

The same encoding serves OBD-II service 01 and the UDS data identifiers from 0xF400 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.simulator.vehicle import Vehicle

COOLANT_TEMPERATURE = 0x05
ENGINE_SPEED = 0x0C
VEHICLE_SPEED = 0x0D
INTAKE_TEMPERATURE = 0x0F
AIR_FLOW = 0x10
THROTTLE = 0x11
RUN_TIME = 0x1F
FUEL_LEVEL = 0x2F
AMBIENT_TEMPERATURE = 0x46


def _byte(value: float) -> bytes:
    return bytes([max(0, min(0xFF, round(value)))])


def _word(value: float) -> bytes:
    return max(0, min(0xFFFF, round(value))).to_bytes(2, "big")


SENSORS: dict[int, Callable[[Vehicle], bytes]] = {
    0x04: lambda car: _byte(car.load * 255),  # calculated load
    COOLANT_TEMPERATURE: lambda car: _byte(car.coolant_c + 40),
    ENGINE_SPEED: lambda car: _word(car.rpm * 4),
    VEHICLE_SPEED: lambda car: _byte(car.speed_kmh),
    INTAKE_TEMPERATURE: lambda car: _byte(car.intake_c + 40),
    AIR_FLOW: lambda car: _word(car.air_g_s * 100),
    THROTTLE: lambda car: _byte(car.throttle * 255),
    0x1C: lambda _: b"\x06",  # OBD standard: EOBD
    RUN_TIME: lambda car: _word(car.run_time_s),
    FUEL_LEVEL: lambda car: _byte(car.fuel * 255),
    0x42: lambda car: _word(car.battery_v * 1000),  # control module voltage
    AMBIENT_TEMPERATURE: lambda car: _byte(car.ambient_c + 40),
}
