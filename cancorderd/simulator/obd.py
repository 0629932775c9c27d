"""OBD-II in the ECU: SAE J1979 (ISO 15031-5) services 01, 03, 04, 07 and 09. Pure.

Requests for unsupported data get no response, as J1979 demands on CAN: most requests go to all ECUs. Only
emission-related trouble codes are read and cleared; those of chassis and body are UDS's.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from cancorderd.simulator.fault_memory import EMISSIONS_GROUP
from cancorderd.simulator.monitors import Monitor
from cancorderd.simulator.sensors import SENSORS
from cancorderd.simulator.uds import POSITIVE, Nrc, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.simulator.fault_memory import Dtc, FaultMemory
    from cancorderd.simulator.vehicle import Vehicle

MAX_PIDS = 6
"""Most PIDs in one request of service 01 on CAN."""

MONITOR_STATUS = 0x01
CONTINUOUS_MONITORS = (Monitor.MISFIRE, Monitor.FUEL_SYSTEM, Monitor.COMPONENTS)
"""Bits 0 to 2 of byte B of the monitor status: supported; bits 4 to 6: not completed."""
OTHER_MONITORS = {
    0: Monitor.CATALYST,
    2: Monitor.EVAPORATIVE_SYSTEM,
    5: Monitor.OXYGEN_SENSOR,
    6: Monitor.OXYGEN_SENSOR_HEATER,
}
"""Bits of byte C: supported; the same bits of byte D: not completed."""

INFO_VIN = 0x02
INFO_ECU_NAME = 0x0A
ECU_NAME = b"ECM\0-EngineControl".ljust(20, b"\0")


class Service(enum.IntEnum):
    CURRENT_DATA = 0x01
    STORED_DTCS = 0x03
    CLEAR_DTCS = 0x04
    PENDING_DTCS = 0x07
    VEHICLE_INFORMATION = 0x09


class Obd:
    """The OBD-II services of the engine's ECU."""

    def __init__(self, vehicle: Vehicle, faults: FaultMemory, vin: bytes) -> None:
        self._vehicle = vehicle
        self._faults = faults
        self._information = {INFO_VIN: vin, INFO_ECU_NAME: ECU_NAME}

    def answer(self, request: bytes) -> bytes:
        """Return the positive response to `request`, empty if there is no response. Raises Refused."""
        service, parameters = request[0], request[1:]
        match service:
            case Service.CURRENT_DATA:
                data = self._current(parameters)
            case Service.VEHICLE_INFORMATION:
                data = self._vehicle_information(parameters)
            case Service.STORED_DTCS | Service.PENDING_DTCS | Service.CLEAR_DTCS if parameters:
                raise Refused(Nrc.INCORRECT_LENGTH)
            case Service.STORED_DTCS:
                data = _codes(self._faults.stored())
            case Service.PENDING_DTCS:
                data = _codes(self._faults.pending())
            case Service.CLEAR_DTCS:
                return self._clear()
            case _:
                raise Refused(Nrc.SERVICE_NOT_SUPPORTED)
        return bytes([service + POSITIVE]) + data if data else b""

    def _current(self, pids: bytes) -> bytes:
        if not 1 <= len(pids) <= MAX_PIDS:
            raise Refused(Nrc.INCORRECT_LENGTH)
        return b"".join(bytes([pid]) + value for pid in pids if (value := self._value(pid)))

    def _value(self, pid: int) -> bytes:
        if pid % 0x20 == 0:
            return bitmap(pid, (MONITOR_STATUS, *SENSORS))
        if pid == MONITOR_STATUS:
            lamp = 0x80 if self._faults.lamp else 0
            return bytes([lamp | len(self._faults.stored())]) + self._readiness()
        return SENSORS[pid](self._vehicle) if pid in SENSORS else b""

    def _readiness(self) -> bytes:
        """Return bytes B to D of the monitor status: supported self-tests, and those not completed since clearing."""

        def incomplete(monitor: Monitor) -> bool:
            return not self._vehicle.monitors.is_complete(monitor)

        continuous = 0x07 | sum(
            0x10 << bit for bit, monitor in enumerate(CONTINUOUS_MONITORS) if incomplete(monitor)
        )
        supported = sum(1 << bit for bit in OTHER_MONITORS)
        pending = sum(1 << bit for bit, monitor in OTHER_MONITORS.items() if incomplete(monitor))
        return bytes([continuous, supported, pending])

    def _vehicle_information(self, parameters: bytes) -> bytes:
        if len(parameters) != 1:
            raise Refused(Nrc.INCORRECT_LENGTH)
        info = parameters[0]
        if info == 0:
            return parameters + bitmap(0, self._information)
        if info not in self._information:
            return b""
        return parameters + b"\x01" + self._information[info]

    def _clear(self) -> bytes:
        if self._vehicle.engine_on:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        self._faults.clear(EMISSIONS_GROUP)
        return bytes([Service.CLEAR_DTCS + POSITIVE])


def bitmap(start: int, supported: Iterable[int]) -> bytes:
    """Return a bit for each of the 32 ids after `start`; the last bit also announces the next bitmap.

    Return an empty bitmap if no id after `start` is supported.
    """
    later = [pid for pid in supported if pid > start]
    bits = sum(1 << (start + 0x20 - pid) for pid in later if pid <= start + 0x20)
    if any(pid > start + 0x20 for pid in later):
        bits |= 1
    return bits.to_bytes(4, "big") if bits else b""


def _codes(dtcs: list[Dtc]) -> bytes:
    return bytes([len(dtcs)]) + b"".join(dtc.obd for dtc in dtcs)
