"""What goes on around the bus: sessions, and drives with OBD-II polling in between. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator import image
from cancorderd.simulator.polling import Polling
from cancorderd.simulator.script import Failure, Pause, Script
from cancorderd.simulator.session import Habits, Reprogramming

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.faults import Faults
    from cancorderd.simulator.options import Options
    from cancorderd.simulator.vehicle import Vehicle

IMAGE_SIZES = (12_800, 38_400)
"""50 to 150 blocks of 256 bytes. The ancestor's."""
FIRST_VERSION = 4
"""The ECU is delivered with SW_V02.15.003."""

BREAK_S = (0.1, 0.1)
BREAKS = (10, 20)
"""1 to 2 s from the end of polling to the next session, in pieces, so that a client need not wait."""


class Workshop:
    """The mechanic: starts sessions, drives the car."""

    def __init__(self, options: Options, vehicle: Vehicle, faults: Faults, rng: random.Random) -> None:
        self._options = options
        self._vehicle = vehicle
        self._faults = faults
        self._rng = rng
        self._sessions = 0
        self._wanted = False

    def want_session(self) -> None:
        """A client came: the next session begins as soon as the one that is under way has ended."""
        self._wanted = True

    def day(self) -> Script:
        """Session, drive, session, drive; without `loop` as many sessions as are wanted."""
        while True:
            self._wanted = False
            yield from self._session()
            if self._options.loop:
                # Whoever came meanwhile has seen a session's end, and sees the next one soon enough.
                self._wanted = False
                yield from self._drive()
            elif not self._wanted:
                return

    def _session(self) -> Script:
        options = self._options
        size = options.image_size or self._rng.randint(*IMAGE_SIZES)
        version = f"SW_V02.15.{(FIRST_VERSION + self._sessions) % 1000:03d}"
        self._sessions += 1
        habits = Habits(
            wrong_key_rate=options.wrong_key_rate,
            conditions_rate=options.conditions_rate,
            # A third of what goes wrong in a transfer is the tester's fault, the rest the ECU's.
            counter_rate=options.transfer_error_rate / 3,
            slip_rate=options.slip_rate,
        )
        firmware = image.build(size, version, self._rng)
        yield from Reprogramming(firmware, habits, self._vehicle, self._rng).script()

    def _drive(self) -> Script:
        self._vehicle.drive()
        try:
            yield from Polling(self._vehicle, self._faults, self._rng, lambda: self._wanted).script()
        except Failure:
            self._vehicle.park()  # nobody answers, or not as hoped: the next session may tell
        for _ in range(self._rng.randint(*BREAKS)):
            if self._wanted:
                return
            yield Pause(BREAK_S)
