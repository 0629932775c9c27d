"""Data identifiers of the ECU, read and written (ISO 14229-1:2013, clauses 10.2 and 10.7). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator.sensors import COOLANT_TEMPERATURE, ENGINE_SPEED, SENSORS, VEHICLE_SPEED
from cancorderd.simulator.uds import POSITIVE, Did, Nrc, Refused, Sid

if TYPE_CHECKING:
    from cancorderd.simulator.vehicle import Vehicle

VIN = b"WVWZZZ3CZWE123456"
DELIVERED_VERSION = "SW_V02.15.003"
"""Software version before the first session. The ancestor's value, like all the others here."""

FINGERPRINT_LENGTH = 9
"""Length of: date of programming (BCD, 3 bytes), serial number of the tester (6 bytes)."""
MAX_DIDS = 8
"""Most identifiers in one request."""

_SENSOR_DIDS: dict[int, int] = {
    Did.COOLANT_TEMPERATURE: COOLANT_TEMPERATURE,
    Did.ENGINE_SPEED: ENGINE_SPEED,
    Did.VEHICLE_SPEED: VEHICLE_SPEED,
}


class DataIdentifiers:
    """Values of the data identifiers."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle
        self._values: dict[int, bytes] = {
            Did.VIN: VIN,
            Did.SERIAL_NUMBER: b"ECU12345678",
            Did.SOFTWARE_VERSION: DELIVERED_VERSION.encode("ascii"),
            Did.HARDWARE_VERSION: b"HW_REV_C",
            Did.PART_NUMBER: b"PART_1K0907115B",
            Did.FINGERPRINT: bytes(FINGERPRINT_LENGTH),
        }

    def set_software_version(self, version: str) -> None:
        self._values[Did.SOFTWARE_VERSION] = version.encode("ascii")

    def read(self, request: bytes) -> bytes:
        """Return the positive response to ReadDataByIdentifier: all requested values that exist.

        Raises Refused.
        """
        identifiers = request[1:]
        if not identifiers or len(identifiers) % 2 or len(identifiers) > 2 * MAX_DIDS:
            raise Refused(Nrc.INCORRECT_LENGTH)
        dids = [int.from_bytes(identifiers[i : i + 2], "big") for i in range(0, len(identifiers), 2)]
        records = [did.to_bytes(2, "big") + value for did in dids if (value := self._value(did))]
        if not records:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        return bytes([Sid.READ_DATA_BY_IDENTIFIER + POSITIVE]) + b"".join(records)

    def check_write(self, request: bytes) -> None:
        """Check a WriteDataByIdentifier request, except for security, which comes later (10.7.4).

        Raises Refused.
        """
        if len(request) < 4:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if int.from_bytes(request[1:3], "big") != Did.FINGERPRINT:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        if len(request) != 3 + FINGERPRINT_LENGTH:
            raise Refused(Nrc.INCORRECT_LENGTH)

    def write(self, request: bytes) -> bytes:
        """Write the value of a request that passed `check_write`. Return the positive response."""
        self._values[int.from_bytes(request[1:3], "big")] = request[3:]
        return bytes([Sid.WRITE_DATA_BY_IDENTIFIER + POSITIVE]) + request[1:3]

    def _value(self, did: int) -> bytes | None:
        if pid := _SENSOR_DIDS.get(did):
            return SENSORS[pid](self._vehicle)
        return self._values.get(did)
