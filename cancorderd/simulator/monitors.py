"""Self-tests of the diagnosed ECU: which have been completed, in this drive and since they were reset. Pure.

SAE J1979 shows them as readiness (service 01, PID 0x01), ISO 14229-1 as two bits of each trouble code (annex D.2:
testNotCompletedSinceLastClear, testNotCompletedThisOperationCycle). The engine's run time alone completes them; a real
car takes minutes and more conditions.
"""

from __future__ import annotations

import enum


class Monitor(enum.Enum):
    """Self-tests. The value is the run time of the engine that each needs, in seconds."""

    # Members with equal values would be one member, so no two values are equal.
    COMPONENTS = 1.0
    MISFIRE = 2.0
    FUEL_SYSTEM = 3.0
    OXYGEN_SENSOR_HEATER = 4.0
    OXYGEN_SENSOR = 5.0
    CATALYST = 6.0
    EVAPORATIVE_SYSTEM = 8.0
    # Those of chassis and body have no readiness in OBD-II.
    WHEEL_SPEED = 1.5
    INTERIOR_LIGHT = 0.5


class Monitors:
    """Progress of all self-tests."""

    def __init__(self) -> None:
        self.cycle = 0
        """Number of the operation cycle: engine starts so far."""
        self.enabled = True
        """Whether tests make progress."""
        self._run_s = dict.fromkeys(Monitor, 0.0)
        self._completed: set[Monitor] = set()
        self._completed_this_cycle: set[Monitor] = set()

    def start_cycle(self) -> None:
        """Begin an operation cycle: every test is due again."""
        self.cycle += 1
        self._run_s = dict.fromkeys(Monitor, 0.0)
        self._completed_this_cycle.clear()

    def run(self, seconds: float) -> None:
        """Let the engine run for a while."""
        if not self.enabled:
            return
        for monitor in Monitor:
            self._run_s[monitor] += seconds
            if self._run_s[monitor] >= monitor.value:
                self.complete(monitor)

    def complete(self, monitor: Monitor) -> None:
        self._completed.add(monitor)
        self._completed_this_cycle.add(monitor)

    def reset(self, monitor: Monitor) -> None:
        """Forget the test, because its trouble codes are cleared."""
        self._run_s[monitor] = 0.0
        self._completed.discard(monitor)
        self._completed_this_cycle.discard(monitor)

    def is_complete(self, monitor: Monitor) -> bool:
        """Return whether the test has been completed since it was reset."""
        return monitor in self._completed

    def is_complete_this_cycle(self, monitor: Monitor) -> bool:
        return monitor in self._completed_this_cycle
