"""Who the ECU is: its data identifiers, read and written (ISO 14229-1:2013, clauses 10.2 and 10.7). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.simulator.sensors import COOLANT_TEMPERATURE, ENGINE_SPEED, SENSORS, VEHICLE_SPEED
from cancorderd.simulator.uds import POSITIVE, Did, Nrc, Refused, Sid

if TYPE_CHECKING:
    from cancorderd.simulator.vehicle import Vehicle

VIN = b"WVWZZZ3CZWE123456"
DELIVERED_VERSION = "SW_V02.15.003"
"""Of the software before the first session. The ancestor's, as the other values are."""

FINGERPRINT_LENGTH = 9
"""Date of programming (BCD, 3 bytes), serial number of the tester (6 bytes)."""
MAX_DIDS = 8
"""Identifiers in one request that the ECU takes."""

_SENSOR_DIDS: dict[int, int] = {
    Did.COOLANT_TEMPERATURE: COOLANT_TEMPERATURE,
    Did.ENGINE_SPEED: ENGINE_SPEED,
    Did.VEHICLE_SPEED: VEHICLE_SPEED,
}


class Identity:
    """The values behind the data identifiers."""

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

    def programmed(self, version: str) -> None:
        """New software runs."""
        self._values[Did.SOFTWARE_VERSION] = version.encode("ascii")

    def read(self, request: bytes) -> bytes:
        """The positive response to ReadDataByIdentifier: what is there of what was asked. Raises Refused."""
        asked = request[1:]
        if not asked or len(asked) % 2 or len(asked) > 2 * MAX_DIDS:
            raise Refused(Nrc.INCORRECT_LENGTH)
        dids = [int.from_bytes(asked[at : at + 2], "big") for at in range(0, len(asked), 2)]
        records = [did.to_bytes(2, "big") + value for did in dids if (value := self._value(did))]
        if not records:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        return bytes([Sid.READ_DATA_BY_IDENTIFIER + POSITIVE]) + b"".join(records)

    def check_write(self, request: bytes) -> None:
        """Raises Refused unless `request` could be done: the identifier comes before security (10.7.4)."""
        if len(request) < 4:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if int.from_bytes(request[1:3], "big") != Did.FINGERPRINT:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        if len(request) != 3 + FINGERPRINT_LENGTH:
            raise Refused(Nrc.INCORRECT_LENGTH)

    def write(self, request: bytes) -> bytes:
        """The positive response to a WriteDataByIdentifier that `check_write` let pass."""
        self._values[int.from_bytes(request[1:3], "big")] = request[3:]
        return bytes([Sid.WRITE_DATA_BY_IDENTIFIER + POSITIVE]) + request[1:3]

    def _value(self, did: int) -> bytes | None:
        if pid := _SENSOR_DIDS.get(did):
            return SENSORS[pid](self._vehicle)
        return self._values.get(did)
