"""RoutineControl in the ECU: preconditions, erasing, checking (ISO 14229-1:2013, clause 13.2). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator import flash_memory
from cancorderd.simulator.uds import POSITIVE, DiagnosticSession, Nrc, Refused, Routine, Sid

if TYPE_CHECKING:
    from cancorderd.simulator.security_access import SecurityAccess
    from cancorderd.simulator.vehicle import Vehicle

START = 0x01
REQUEST_RESULTS = 0x03

LASTING_S: dict[int, tuple[float, float]] = {
    Routine.ERASE_MEMORY: (0.5, 2.0),
    Routine.CHECK_DEPENDENCIES: (0.3, 0.7),
}
"""Shortest and longest duration of routines that take longer than other requests."""

_KNOWN = frozenset(Routine)


class Routines:
    """The ECU's routines and their results."""

    def __init__(self, vehicle: Vehicle, flash: flash_memory.FlashMemory, security: SecurityAccess) -> None:
        self._vehicle = vehicle
        self._flash = flash
        self._security = security
        self._results: dict[int, bytes] = {}

    def forget(self) -> None:
        self._results.clear()

    def control(self, request: bytes, session: DiagnosticSession) -> bytes:
        """Return the positive response to a RoutineControl request. Raises Refused."""
        if len(request) < 4:
            raise Refused(Nrc.INCORRECT_LENGTH)
        identifier, parameters = int.from_bytes(request[2:4], "big"), request[4:]
        if identifier not in _KNOWN:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        if request[1] == START:
            self._results[identifier] = self._start(Routine(identifier), parameters, session)
        elif parameters:
            raise Refused(Nrc.INCORRECT_LENGTH)
        elif identifier not in self._results:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)
        return bytes([Sid.ROUTINE_CONTROL + POSITIVE]) + request[1:4] + self._results[identifier]

    def _start(self, routine: Routine, parameters: bytes, session: DiagnosticSession) -> bytes:
        if routine is not Routine.ERASE_MEMORY and parameters:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if routine is Routine.CHECK_PRECONDITIONS:
            if self._vehicle.engine_on:
                raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
            return bytes([flash_memory.PASSED])
        if session is not DiagnosticSession.PROGRAMMING:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        self._security.require_unlocked()
        if routine is Routine.ERASE_MEMORY:
            return self._flash.erase(parameters)
        return self._flash.check()


def start(routine: Routine, parameters: bytes = b"") -> bytes:
    """Return the request that starts `routine`."""
    return bytes([Sid.ROUTINE_CONTROL, START]) + routine.to_bytes(2, "big") + parameters
