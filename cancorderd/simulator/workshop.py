"""The workshop's script: reprogramming sessions, and drives with OBD-II polling between them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator import firmware_image
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.obd_polling import ObdPolling
from cancorderd.simulator.reprogramming import MistakeRates, Reprogramming
from cancorderd.simulator.tester_script import Pause, Script, ScriptFailure

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.fault_memory import FaultMemory
    from cancorderd.simulator.options import Options
    from cancorderd.simulator.vehicle import Vehicle

IMAGE_SIZES = (12_800, 38_400)
"""50 to 150 blocks of 256 bytes. The ancestor's values."""
FIRST_VERSION = 4
"""The ECU is delivered with SW_V02.15.003."""

BREAK_S = (0.1, 0.1)
BREAKS = (10, 20)
"""1 to 2 s between polling and the next session, in pieces, so that a new client need not wait."""


class Workshop:
    """Mechanic who starts sessions and drives the car."""

    def __init__(
        self,
        options: Options,
        vehicle: Vehicle,
        faults: FaultMemory,
        rng: random.Random,
        narration: Narration | None = None,
    ) -> None:
        self._options = options
        self._vehicle = vehicle
        self._faults = faults
        self._rng = rng
        self._narration = narration or Narration()
        self._sessions = 0
        self._session_requested = False

    def request_session(self) -> None:
        """Request another session, because a client connected: it follows the current session at once."""
        self._session_requested = True

    def script(self) -> Script:
        """Alternate sessions and drives or, without `loop`, run the requested sessions only."""
        while True:
            self._session_requested = False
            yield from self._session()
            if self._options.loop:
                # Clients that connected during the session have seen its end; the next begins soon enough.
                self._session_requested = False
                yield from self._drive()
            elif not self._session_requested:
                self._narration.outcome("the next begins when a client connects")
                return

    def _session(self) -> Script:
        options = self._options
        size = options.image_size or self._rng.randint(*IMAGE_SIZES)
        version = f"SW_V02.15.{(FIRST_VERSION + self._sessions) % 1000:03d}"
        self._sessions += 1
        mistake_rates = MistakeRates(
            wrong_key_rate=options.wrong_key_rate,
            conditions_rate=options.conditions_rate,
            # A third of the transfer errors are the tester's mistakes, the rest the ECU's.
            counter_rate=options.transfer_error_rate / 3,
            slip_rate=options.slip_rate,
        )
        firmware = firmware_image.build(size, version, self._rng)
        yield from Reprogramming(firmware, mistake_rates, self._vehicle, self._rng, self._narration).script()

    def _drive(self) -> Script:
        self._vehicle.drive()
        try:
            yield from ObdPolling(
                self._vehicle,
                self._faults,
                self._rng,
                lambda: self._session_requested,
                self._narration,
            ).script()
        except ScriptFailure as failure:
            self._narration.outcome(f"given up: {failure}")
            self._vehicle.park()  # no response, or an unexpected one: go on with the next session
        for _ in range(self._rng.randint(*BREAKS)):
            if self._session_requested:
                return
            yield Pause(BREAK_S)
