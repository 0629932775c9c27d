"""A small car in town traffic, as a source of sensor values. Pure.

It has a petrol engine of two litres, five gears, a thermostat and a tank of 55 litres. It moves in steps of
a tenth of a second of simulated time, so the frequency of calls has no influence.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from cancorderd.simulator.monitors import Monitors

if TYPE_CHECKING:
    import random

STEP_S = 0.1

IDLE_RPM = 820.0
RPM_PER_KMH = (0.0, 115.0, 66.0, 45.0, 34.0, 27.0)
"""Engine speed per road speed, by gear; 0 is neutral."""
SHIFT_UP_KMH = (0.0, 22.0, 38.0, 56.0, 78.0)
SHIFT_DOWN_KMH = (0.0, 0.0, 14.0, 28.0, 44.0, 64.0)

ACCELERATION_KMH_S = 9.0
BRAKING_KMH_S = 18.0

THERMOSTAT_C = 90.0
DISPLACEMENT_L = 2.0
AIR_G_PER_L = 1.18
AIR_TO_FUEL = 14.7
FUEL_G_PER_L = 745.0
TANK_L = 55.0


class Driver(enum.Enum):
    """The driver's intention."""

    AWAY = enum.auto()
    """Parked, engine off, ignition on: the conditions for reprogramming."""
    IDLING = enum.auto()
    """Standing or stopping, engine on."""
    PARKING = enum.auto()
    """Stopping, then engine off."""
    DRIVING = enum.auto()


class Vehicle:
    """The car and its driver. `drive`, `idle` and `park` are orders; `advance` lets time pass."""

    def __init__(self, rng: random.Random, start_s: float = 0.0) -> None:
        self._rng = rng
        self._steps = round(start_s / STEP_S)
        self._driver = Driver.AWAY
        self._target_kmh = 0.0
        self._target_steps = 0
        self._pull = 0.0
        self.speed_kmh = 0.0
        self.rpm = 0.0
        self.gear = 0
        self.ambient_c = rng.uniform(12.0, 26.0)
        self.coolant_c = self.ambient_c + rng.uniform(15.0, 35.0)
        self.intake_c = self.ambient_c + rng.uniform(3.0, 8.0)
        self.fuel_l = rng.uniform(0.3, 0.9) * TANK_L
        self.run_time_s = 0.0
        self.monitors = Monitors()
        """Self-tests of the diagnosed ECU, which the engine's run time completes."""

    @property
    def engine_on(self) -> bool:
        return self._driver is not Driver.AWAY

    @property
    def standing(self) -> bool:
        return self.speed_kmh == 0.0

    @property
    def load(self) -> float:
        """Engine load, 0 to 1: air flow relative to the greatest possible."""
        return 0.22 + 0.65 * self._pull if self.engine_on else 0.0

    @property
    def throttle(self) -> float:
        return 0.14 + 0.6 * self._pull

    @property
    def air_g_s(self) -> float:
        return self.rpm / 120 * DISPLACEMENT_L * AIR_G_PER_L * self.load

    @property
    def fuel(self) -> float:
        return self.fuel_l / TANK_L

    @property
    def battery_v(self) -> float:
        return 14.1 if self.engine_on else 12.4

    def drive(self) -> None:
        self._start_engine()
        if self.fuel < 0.05:
            self.fuel_l = 0.95 * TANK_L  # refuelled while parked
        self._driver = Driver.DRIVING
        self._target_steps = 0

    def idle(self) -> None:
        """Stop, with the engine on."""
        self._start_engine()
        self._driver = Driver.IDLING

    def park(self) -> None:
        """Stop and switch the engine off."""
        if self.engine_on:
            self._driver = Driver.PARKING

    def _start_engine(self) -> None:
        if not self.engine_on:
            self.run_time_s = 0.0
            self.monitors.start_cycle()

    def advance(self, now: float) -> None:
        """Let time pass until `now`."""
        while (self._steps + 1) * STEP_S <= now:
            self._steps += 1
            self._step()

    def _step(self) -> None:
        self._steer()
        self._move()
        self._warm()
        if self._driver is Driver.PARKING and self.standing:
            self._driver = Driver.AWAY
        if self.engine_on:
            self.run_time_s += STEP_S
            self.monitors.run(STEP_S)
            self.fuel_l = max(0.0, self.fuel_l - self.air_g_s / AIR_TO_FUEL / FUEL_G_PER_L * STEP_S)

    def _steer(self) -> None:
        """Choose a speed for a few seconds, as in town."""
        if self._driver is not Driver.DRIVING:
            self._target_kmh = 0.0
            return
        self._target_steps -= 1
        if self._target_steps <= 0:
            self._target_kmh = self._rng.uniform(15.0, 62.0)
            self._target_steps = self._rng.randrange(20, 60)

    def _move(self) -> None:
        missing = self._target_kmh - self.speed_kmh
        most = ACCELERATION_KMH_S * STEP_S * (1.0 - self.speed_kmh / 200)
        change = max(-BRAKING_KMH_S * STEP_S, min(most, missing))
        self.speed_kmh = max(0.0, self.speed_kmh + change)
        wanted = max(0.0, change / most) * 0.8 + self.speed_kmh / 400 if change > -0.2 else 0.0
        self._pull += (wanted - self._pull) * 0.4
        self._shift()
        if not self.engine_on:
            self.rpm = 0.0
            return
        geared = max(IDLE_RPM, self.speed_kmh * RPM_PER_KMH[self.gear])
        self.rpm += (geared - self.rpm) * 0.5 + self._rng.uniform(-12.0, 12.0)

    def _shift(self) -> None:
        if self.speed_kmh < 2.0:
            self.gear = 1 if self._target_kmh > 0 else 0
        elif self.gear < 5 and self.speed_kmh > SHIFT_UP_KMH[max(self.gear, 1) % 5]:
            self.gear = max(self.gear, 1) + 1 if self.gear else 1
        elif self.gear > 1 and self.speed_kmh < SHIFT_DOWN_KMH[self.gear]:
            self.gear -= 1

    def _warm(self) -> None:
        """Approach the thermostat's temperature exponentially, faster under load; cool slowly when off."""
        if self.engine_on:
            goal, time_constant_s = THERMOSTAT_C + 3 * math.sin(self._steps / 400), 220.0 - 140.0 * self.load
        else:
            goal, time_constant_s = self.ambient_c, 3000.0
        self.coolant_c += (goal - self.coolant_c) * STEP_S / time_constant_s
        under_bonnet = self.ambient_c + (12.0 if self.standing else 5.0)
        self.intake_c += (under_bonnet - self.intake_c) * STEP_S / 60
