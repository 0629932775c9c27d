"""The car: plausible drives that do not depend on the frequency of calls."""

from __future__ import annotations

import itertools
import random

import pytest

from cancorderd.simulator.sensors import SENSORS
from cancorderd.simulator.vehicle import BRAKING_KMH_S, IDLE_RPM, STEP_S, TANK_L, Vehicle

SEEDS = range(5)


def driven(seed: int, seconds: float) -> tuple[Vehicle, list[tuple[float, float, int, float]]]:
    vehicle = Vehicle(random.Random(seed))
    vehicle.drive()
    trace = []
    for step in range(round(seconds / STEP_S)):
        vehicle.advance((step + 1) * STEP_S + 0.01)
        trace.append((vehicle.speed_kmh, vehicle.rpm, vehicle.gear, vehicle.coolant_c))
    return vehicle, trace


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drive_uses_the_gears_within_the_limits_of_a_car(seed: int) -> None:
    _, trace = driven(seed, 60)
    speeds, rpms, gears, _ = zip(*trace, strict=True)
    assert 20 < max(speeds) < 65
    assert max(gears) >= 3
    assert {1, 2, 3} <= set(gears)
    assert all(abs(a - b) <= 1 for a, b in itertools.pairwise(gears))
    assert all(abs(a - b) <= BRAKING_KMH_S * STEP_S + 1e-9 for a, b in itertools.pairwise(speeds))
    assert min(rpms[20:]) > 0.9 * IDLE_RPM
    assert 1500 < max(rpms) < 3500


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_warms_up_and_uses_fuel(seed: int) -> None:
    vehicle, trace = driven(seed, 600)
    coolant = [entry[3] for entry in trace]
    assert coolant[0] < 70
    assert 85 < coolant[-1] < 95
    assert coolant[3000] < coolant[-1]
    fuel = vehicle.fuel_l
    vehicle.advance(700)
    assert fuel - 0.5 < vehicle.fuel_l < fuel
    assert vehicle.run_time_s == pytest.approx(700, abs=0.2)


def test_the_frequency_of_calls_changes_nothing() -> None:
    often, once = driven(3, 30)[0], Vehicle(random.Random(3))
    once.drive()
    once.advance(30.01)
    assert [read(often) for read in SENSORS.values()] == [read(once) for read in SENSORS.values()]


def test_parking_stops_the_car_before_the_engine() -> None:
    vehicle, _ = driven(1, 20)
    speed = vehicle.speed_kmh
    assert speed > 10
    vehicle.park()
    vehicle.advance(20.5)
    assert vehicle.engine_on
    vehicle.advance(20 + speed / BRAKING_KMH_S + 1)
    assert vehicle.standing
    assert not vehicle.engine_on
    assert vehicle.rpm == 0


def test_idling_starts_the_engine() -> None:
    vehicle = Vehicle(random.Random(1))
    assert not vehicle.engine_on
    vehicle.idle()
    vehicle.advance(5)
    assert vehicle.standing
    assert vehicle.rpm == pytest.approx(IDLE_RPM, abs=100)


def test_an_empty_tank_is_filled_before_the_next_drive() -> None:
    vehicle = Vehicle(random.Random(1))
    vehicle.fuel_l = 0.04 * TANK_L
    vehicle.drive()
    assert vehicle.fuel > 0.9


def test_the_run_time_and_the_self_tests_begin_with_each_start_of_the_engine_alone() -> None:
    vehicle, _ = driven(1, 20)
    assert vehicle.monitors.cycle == 1
    vehicle.idle()
    vehicle.drive()
    assert vehicle.monitors.cycle == 1
    assert vehicle.run_time_s == pytest.approx(20, abs=0.2)
    vehicle.park()
    vehicle.advance(60)
    assert not vehicle.engine_on
    stopped_s = vehicle.run_time_s
    vehicle.advance(120)
    assert vehicle.run_time_s == stopped_s
    vehicle.idle()
    assert vehicle.monitors.cycle == 2
    assert vehicle.run_time_s == 0
