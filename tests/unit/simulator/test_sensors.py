"""Sensor values in the scaling of SAE J1979."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.sensors import SENSORS
from cancorderd.simulator.vehicle import Vehicle


class Still(Vehicle):
    """A car whose sensors are set by hand."""

    load = 0.5
    throttle = 0.2
    air_g_s = 12.34
    fuel = 0.75
    battery_v = 14.1

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        self.rpm, self.speed_kmh, self.run_time_s = 1726.0, 88.0, 600.0
        self.coolant_c, self.intake_c, self.ambient_c = 90.0, -5.0, -40.0


@pytest.mark.parametrize(
    ("pid", "encoded"),
    [
        (0x04, "80"),
        (0x05, "82"),
        (0x0C, "1a f8"),
        (0x0D, "58"),
        (0x0F, "23"),
        (0x10, "04 d2"),
        (0x11, "33"),
        (0x1C, "06"),
        (0x1F, "02 58"),
        (0x2F, "bf"),
        (0x42, "37 14"),
        (0x46, "00"),
    ],
)
def test_values_are_scaled_as_in_j1979(pid: int, encoded: str) -> None:
    assert SENSORS[pid](Still()).hex(" ") == encoded


def test_values_are_clamped_to_their_bytes() -> None:
    car = Still()
    car.speed_kmh, car.rpm, car.run_time_s = 300.0, 20_000.0, 1e9
    assert [SENSORS[pid](car) for pid in (0x0D, 0x0C, 0x1F)] == [b"\xff", b"\xff\xff", b"\xff\xff"]
