"""The ECU's fault memory: which trouble codes it holds, and what each service tells of them. Pure.

ReadDTCInformation and ClearDiagnosticInformation are ISO 14229-1:2013, clauses 11.3 and 11.2. OBD-II reads
and clears the same memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator.dtc import ALL_GROUPS, EMISSIONS_GROUP, Dtc, Status
from cancorderd.simulator.sensors import COOLANT_TEMPERATURE, ENGINE_SPEED, SENSORS, VEHICLE_SPEED
from cancorderd.simulator.uds import Did, Nrc, Refused, Sid

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.vehicle import Vehicle

SUPPORTED = tuple(map(Dtc.parse, ("P0300", "P0171", "P0420", "P0442", "C0035-1C", "B0101-13", "U0073-88")))
"""The ancestor's seven: misfire, lean, catalyst, leak, wheel speed, interior light, bus off."""

HEALTHY = Status.NOT_COMPLETED_SINCE_CLEAR | Status.NOT_COMPLETED_THIS_CYCLE

_FAILED = Status.TEST_FAILED_THIS_CYCLE | Status.PENDING | Status.FAILED_SINCE_CLEAR
FAULTY = (
    _FAILED | Status.TEST_FAILED,
    _FAILED | Status.TEST_FAILED | Status.CONFIRMED,
    _FAILED | Status.TEST_FAILED | Status.CONFIRMED | Status.WARNING_INDICATOR,
    Status.CONFIRMED | Status.FAILED_SINCE_CLEAR,
)
"""What a code's status can be: maturing, active, active with the lamp lit, healed."""

AVAILABLE = 0xFF
"""DTCStatusAvailabilityMask: the ECU keeps every bit."""
ISO_14229_FORMAT = 0x01
SNAPSHOT_RECORD = 0x01
ALL_RECORDS = 0xFF


class Snapshot(NamedTuple):
    """What the car did when a code was set; encoded as the data identifiers' values are."""

    rpm: bytes
    coolant: bytes
    speed: bytes


class Faults:
    """The fault memory."""

    def __init__(self, rng: random.Random, vehicle: Vehicle) -> None:
        self._rng = rng
        self._vehicle = vehicle
        self._statuses = dict.fromkeys(SUPPORTED, HEALTHY)
        self._snapshots: dict[Dtc, Snapshot] = {}
        self.recording = True
        """ControlDTCSetting: whether statuses may change (ISO 14229-1:2013, 9.9)."""

    @property
    def lamp(self) -> bool:
        return any(status & Status.WARNING_INDICATOR for status in self._statuses.values())

    def appear(self) -> None:
        """Three to seven codes come up, as on a drive."""
        if not self.recording:
            return
        for dtc in self._rng.sample(SUPPORTED, self._rng.randint(3, len(SUPPORTED))):
            self._statuses[dtc] = self._rng.choice(FAULTY)
            self._snapshots[dtc] = _snapshot(self._vehicle)

    def clear(self, group: int = ALL_GROUPS) -> None:
        """Forget a group of codes, or one. Raises Refused for any other."""
        chosen = [dtc for dtc in SUPPORTED if _in_group(dtc, group)]
        if not chosen:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        for dtc in chosen:
            self._statuses[dtc] = HEALTHY
            self._snapshots.pop(dtc, None)

    def matching(self, mask: int) -> list[tuple[Dtc, int]]:
        """Codes whose status has a bit of `mask`, with their statuses."""
        return [(dtc, int(status)) for dtc, status in self._statuses.items() if status & mask]

    def stored(self) -> list[Dtc]:
        return [dtc for dtc, _ in self.matching(Status.CONFIRMED)]

    def pending(self) -> list[Dtc]:
        return [dtc for dtc, _ in self.matching(Status.PENDING)]

    def read(self, request: bytes) -> bytes:
        """The positive response to a ReadDTCInformation request. Raises Refused."""
        kind, parameters = request[1], request[2:]
        if len(parameters) != {0x01: 1, 0x02: 1, 0x04: 4, 0x0A: 0}[kind]:
            raise Refused(Nrc.INCORRECT_LENGTH)
        start = bytes([Sid.READ_DTC_INFORMATION + 0x40, kind])
        match kind:
            case 0x01:
                count = len(self.matching(parameters[0] & AVAILABLE))
                return start + bytes([AVAILABLE, ISO_14229_FORMAT]) + count.to_bytes(2, "big")
            case 0x02:
                return start + bytes([AVAILABLE]) + _records(self.matching(parameters[0] & AVAILABLE))
            case 0x04:
                return start + self._snapshot_record(parameters)
            case _:
                return start + bytes([AVAILABLE]) + _records(list(self._statuses.items()))

    def _snapshot_record(self, parameters: bytes) -> bytes:
        dtc = next((dtc for dtc in SUPPORTED if dtc.uds == parameters[:3]), None)
        if dtc is None or parameters[3] not in (SNAPSHOT_RECORD, ALL_RECORDS):
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        start = dtc.uds + bytes([self._statuses[dtc]])
        if (snapshot := self._snapshots.get(dtc)) is None:
            return start
        dids = (Did.ENGINE_SPEED, Did.COOLANT_TEMPERATURE, Did.VEHICLE_SPEED)
        values = b"".join(did.to_bytes(2, "big") + value for did, value in zip(dids, snapshot, strict=True))
        return start + bytes([SNAPSHOT_RECORD, len(dids)]) + values


def _records(entries: list[tuple[Dtc, int]]) -> bytes:
    return b"".join(dtc.uds + bytes([status]) for dtc, status in entries)


def _in_group(dtc: Dtc, group: int) -> bool:
    if group == EMISSIONS_GROUP:
        return str(dtc).startswith("P")
    return group == ALL_GROUPS or dtc.uds == group.to_bytes(3, "big")


def _snapshot(vehicle: Vehicle) -> Snapshot:
    sensors = (ENGINE_SPEED, COOLANT_TEMPERATURE, VEHICLE_SPEED)
    return Snapshot(*(SENSORS[pid](vehicle) for pid in sensors))
