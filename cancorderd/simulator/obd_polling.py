"""Script of an OBD-II scan tool between sessions: live data while the car drives (SAE J1979). Pure.

The parameters, their number per request and the timing are the ancestor's; the monitor status, with readiness, is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator import obd, sensors
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.tester_script import Pause, Script, Span, ask, try_request
from cancorderd.simulator.uds import Nrc

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cancorderd.simulator.fault_memory import FaultMemory
    from cancorderd.simulator.vehicle import Vehicle

CYCLES = (15, 30)
DRIVEN = 0.6
"""Share of the cycles after which trouble codes appear and the car stops."""
PIDS = (
    sensors.ENGINE_SPEED,
    sensors.VEHICLE_SPEED,
    sensors.COOLANT_TEMPERATURE,
    sensors.THROTTLE,
    sensors.INTAKE_TEMPERATURE,
    sensors.AIR_FLOW,
    sensors.FUEL_LEVEL,
    sensors.RUN_TIME,
    sensors.AMBIENT_TEMPERATURE,
    obd.MONITOR_STATUS,
)
PIDS_PER_CYCLE = (3, 6)
FUNCTIONAL = 0.8
"""Share of requests for live data that are addressed to all ECUs."""
AT_ONCE = 0.1
"""Share of cycles that request all parameters in a single request."""
BITMAPS = 0.05
STORED = 0.1
PENDING = 0.05
CLEAR = 0.2
"""Probabilities: bitmaps and codes in each cycle, clearing at the end."""

ASK_S: Span = (0.015, 0.035)
CODES_S: Span = (0.020, 0.040)
CYCLE_S: Span = (0.080, 0.150)


class ObdPolling:
    """One round of polling, which ends early if `hurried` returns True."""

    def __init__(
        self,
        vehicle: Vehicle,
        faults: FaultMemory,
        rng: random.Random,
        hurried: Callable[[], bool],
        narration: Narration | None = None,
    ) -> None:
        self._vehicle = vehicle
        self._faults = faults
        self._rng = rng
        self._hurried = hurried
        self._narration = narration or Narration()

    def script(self) -> Script:
        cycles = self._rng.randint(*CYCLES)
        driven = round(cycles * DRIVEN)
        self._narration.begin_polling(cycles)
        for cycle in range(cycles):
            hurried = self._hurried()
            if hurried or cycle == driven:
                self._faults.set_random_codes()
                self._narration.phase(
                    f"{len(self._faults.stored())} emission-related trouble codes are stored; the car stops"
                )
                self._vehicle.park()
            if hurried:
                self._narration.outcome("ends early: another session is requested")
                return
            yield from self._cycle(first=cycle == 0, codes=cycle in (0, driven))
        if self._rng.random() < CLEAR:
            self._narration.phase("trouble codes are cleared")
            # The ECU refuses this while the engine is on.
            yield from try_request(
                bytes([obd.Service.CLEAR_DTCS]), Nrc.CONDITIONS_NOT_CORRECT, functional=True
            )

    def _cycle(self, *, first: bool, codes: bool) -> Script:
        if first or self._rng.random() < BITMAPS:
            yield from self._supported()
        if codes or self._rng.random() < STORED:
            yield from ask(bytes([obd.Service.STORED_DTCS]), functional=True, after_s=CODES_S)
        if self._rng.random() < PENDING:
            yield from ask(bytes([obd.Service.PENDING_DTCS]), functional=True, after_s=CODES_S)
        if first:
            vin = bytes([obd.Service.VEHICLE_INFORMATION, obd.INFO_VIN])
            yield from ask(vin, functional=True, after_s=CODES_S)
        pids = self._rng.sample(PIDS, self._rng.randint(*PIDS_PER_CYCLE))
        requests = [bytes(pids)] if self._rng.random() < AT_ONCE else [bytes([pid]) for pid in pids]
        for request in requests:
            functional = self._rng.random() < FUNCTIONAL
            live = bytes([obd.Service.CURRENT_DATA]) + request
            yield from ask(live, functional=functional, after_s=ASK_S)
        yield Pause(CYCLE_S)

    def _supported(self) -> Script:
        """Request the bitmaps of supported PIDs: the last bit of each announces the next bitmap."""
        more, start = True, 0
        while more:
            request = bytes([obd.Service.CURRENT_DATA, start])
            response = yield from ask(request, functional=True, after_s=CODES_S)
            more, start = bool(response[-1] & 1), start + 0x20
