"""The ECU's fault memory: diagnostic trouble codes, their statuses and snapshots. Pure.

ReadDTCInformation and ClearDiagnosticInformation are in ISO 14229-1:2013, clauses 11.3 and 11.2. OBD-II
reads and clears the same memory.

A trouble code has two bytes in OBD-II (SAE J2012, ISO 15031-6): two bits for the system, four digits. UDS
adds a failure type byte (SAE J2012-DA), which makes three.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator.monitors import Monitor
from cancorderd.simulator.sensors import COOLANT_TEMPERATURE, ENGINE_SPEED, SENSORS, VEHICLE_SPEED
from cancorderd.simulator.uds import Did, Nrc, Refused, Sid

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.vehicle import Vehicle

SYSTEMS = "PCBU"
"""Powertrain, chassis, body, network: values of the two highest bits, in this order."""
EMISSION_SYSTEMS = "PU"
"""Systems whose codes OBD-II reports: those of the engine, and those of its network (SAE J1979, service 03)."""

ALL_GROUPS = 0xFFFFFF
"""groupOfDTC for all trouble codes (ISO 14229-1:2013, annex D.1)."""
EMISSIONS_GROUP = 0xFFFF33


class Status(enum.IntFlag):
    """Bits of a trouble code's status (ISO 14229-1:2013, annex D.2)."""

    TEST_FAILED = 0x01
    TEST_FAILED_THIS_CYCLE = 0x02
    PENDING = 0x04
    CONFIRMED = 0x08
    NOT_COMPLETED_SINCE_CLEAR = 0x10
    FAILED_SINCE_CLEAR = 0x20
    NOT_COMPLETED_THIS_CYCLE = 0x40
    WARNING_INDICATOR = 0x80


class Dtc(NamedTuple):
    """A trouble code such as P0300, and its failure type byte."""

    code: int
    failure_type: int = 0

    @classmethod
    def parse(cls, text: str) -> Dtc:
        """Return the code written as `P0300` or `P0300-1A`. Raises ValueError for any other text."""
        name, _, failure_type = text.partition("-")
        system, digits = SYSTEMS.find(name[:1]), name[1:]
        # The first digit has only two bits: 0 to 3.
        if system < 0 or len(name) != 5 or digits[0] not in "0123":
            raise ValueError(f"{text!r} is no trouble code")
        return cls(system << 14 | int(digits, 16), int(failure_type or "0", 16))

    def __str__(self) -> str:
        return f"{SYSTEMS[self.code >> 14]}{self.code & 0x3FFF:04X}"

    @property
    def emission_related(self) -> bool:
        return SYSTEMS[self.code >> 14] in EMISSION_SYSTEMS

    @property
    def obd(self) -> bytes:
        return self.code.to_bytes(2, "big")

    @property
    def uds(self) -> bytes:
        return self.obd + bytes([self.failure_type])


MONITORS = {
    Dtc.parse("P0300"): Monitor.MISFIRE,
    Dtc.parse("P0171"): Monitor.FUEL_SYSTEM,
    Dtc.parse("P0420"): Monitor.CATALYST,
    Dtc.parse("P0442"): Monitor.EVAPORATIVE_SYSTEM,
    Dtc.parse("C0035-1C"): Monitor.WHEEL_SPEED,
    Dtc.parse("B0101-13"): Monitor.INTERIOR_LIGHT,
    Dtc.parse("U0073-88"): Monitor.COMPONENTS,
}
"""The seven codes of the ancestor (misfire, lean mixture, catalyst, leak, wheel speed, interior light, bus-off), with the
self-test that sets each."""
SUPPORTED = tuple(MONITORS)

HEALTHY = Status.NOT_COMPLETED_SINCE_CLEAR | Status.NOT_COMPLETED_THIS_CYCLE
"""Status of every code right after the memory is cleared."""

_FAILED = Status.TEST_FAILED_THIS_CYCLE | Status.PENDING | Status.FAILED_SINCE_CLEAR
FAULTY = (
    _FAILED | Status.TEST_FAILED,
    _FAILED | Status.TEST_FAILED | Status.CONFIRMED,
    _FAILED | Status.TEST_FAILED | Status.CONFIRMED | Status.WARNING_INDICATOR,
    Status.CONFIRMED | Status.FAILED_SINCE_CLEAR,
)
"""Statuses of a faulty code: maturing, active, active with the lamp lit, healed."""

AVAILABLE = 0xFF
"""DTCStatusAvailabilityMask: the ECU supports every status bit."""
ISO_14229_FORMAT = 0x01
SNAPSHOT_RECORD = 0x01
ALL_RECORDS = 0xFF


class Snapshot(NamedTuple):
    """Sensor values from the moment a code was set, encoded like the values of the data identifiers."""

    rpm: bytes
    coolant: bytes
    speed: bytes


class _Fault(NamedTuple):
    """A code that has failed."""

    status: Status
    """Without the bits for tests that are not completed: the monitors have them."""
    cycle: int
    """Operation cycle in which it failed."""
    snapshot: Snapshot


class FaultMemory:
    """Trouble codes of the ECU, with statuses and snapshots."""

    def __init__(self, rng: random.Random, vehicle: Vehicle) -> None:
        self._rng = rng
        self._vehicle = vehicle
        self._monitors = vehicle.monitors
        self._faults: dict[Dtc, _Fault] = {}

    @property
    def recording(self) -> bool:
        """Whether statuses may change: ControlDTCSetting (ISO 14229-1:2013, 9.9)."""
        return self._monitors.enabled

    @recording.setter
    def recording(self, enabled: bool) -> None:
        self._monitors.enabled = enabled

    @property
    def lamp(self) -> bool:
        """Whether the malfunction indicator is lit: it is for emission-related codes."""
        return any(dtc.emission_related for dtc, _ in self.matching(Status.WARNING_INDICATOR))

    def set_random_codes(self) -> None:
        """Set three to seven random codes, as a drive does, unless recording is off."""
        if not self.recording:
            return
        for dtc in self._rng.sample(SUPPORTED, self._rng.randint(3, len(SUPPORTED))):
            status = self._rng.choice(FAULTY)
            self._faults[dtc] = _Fault(status, self._monitors.cycle, _snapshot(self._vehicle))
            self._monitors.complete(MONITORS[dtc])

    def clear(self, group: int = ALL_GROUPS) -> None:
        """Clear a group of codes, or a single code. Raises Refused for an unknown group."""
        chosen = [dtc for dtc in SUPPORTED if _in_group(dtc, group)]
        if not chosen:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        for dtc in chosen:
            self._faults.pop(dtc, None)
        whole = group in (ALL_GROUPS, EMISSIONS_GROUP)  # includes tests that have no code here
        codeless = set(Monitor) - set(MONITORS.values()) if whole else set()
        for monitor in codeless | {MONITORS[dtc] for dtc in chosen}:
            self._monitors.reset(monitor)

    def matching(self, mask: int) -> list[tuple[Dtc, int]]:
        """Return the codes whose status has a bit of `mask`, with their statuses."""
        return [(dtc, status) for dtc in SUPPORTED if (status := self._status(dtc)) & mask]

    def stored(self) -> list[Dtc]:
        """Return the emission-related codes that are confirmed: those of OBD-II service 03."""
        return [dtc for dtc, _ in self.matching(Status.CONFIRMED) if dtc.emission_related]

    def pending(self) -> list[Dtc]:
        """Return the emission-related codes that are pending: those of OBD-II service 07."""
        return [dtc for dtc, _ in self.matching(Status.PENDING) if dtc.emission_related]

    def _status(self, dtc: Dtc) -> int:
        fault, monitor = self._faults.get(dtc), MONITORS[dtc]
        status = fault.status if fault else Status(0)
        if fault and fault.cycle != self._monitors.cycle:
            # A later cycle: the fault that is still there is found again when the test is completed.
            again = self._monitors.is_complete_this_cycle(monitor) and status & Status.TEST_FAILED
            status = (
                status | Status.TEST_FAILED_THIS_CYCLE if again else status & ~Status.TEST_FAILED_THIS_CYCLE
            )
        if not self._monitors.is_complete(monitor):
            status |= Status.NOT_COMPLETED_SINCE_CLEAR
        if not self._monitors.is_complete_this_cycle(monitor):
            status |= Status.NOT_COMPLETED_THIS_CYCLE
        return int(status)

    def read(self, request: bytes) -> bytes:
        """Return the positive response to a ReadDTCInformation request. Raises Refused."""
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
                return start + bytes([AVAILABLE]) + _records([(dtc, self._status(dtc)) for dtc in SUPPORTED])

    def _snapshot_record(self, parameters: bytes) -> bytes:
        dtc = next((dtc for dtc in SUPPORTED if dtc.uds == parameters[:3]), None)
        if dtc is None or parameters[3] not in (SNAPSHOT_RECORD, ALL_RECORDS):
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        start = dtc.uds + bytes([self._status(dtc)])
        if (fault := self._faults.get(dtc)) is None:
            return start
        dids = (Did.ENGINE_SPEED, Did.COOLANT_TEMPERATURE, Did.VEHICLE_SPEED)
        values = b"".join(
            did.to_bytes(2, "big") + value for did, value in zip(dids, fault.snapshot, strict=True)
        )
        return start + bytes([SNAPSHOT_RECORD, len(dids)]) + values


def _records(entries: list[tuple[Dtc, int]]) -> bytes:
    return b"".join(dtc.uds + bytes([status]) for dtc, status in entries)


def _in_group(dtc: Dtc, group: int) -> bool:
    if group == EMISSIONS_GROUP:
        return dtc.emission_related
    return group == ALL_GROUPS or dtc.uds == group.to_bytes(3, "big")


def _snapshot(vehicle: Vehicle) -> Snapshot:
    sensors = (ENGINE_SPEED, COOLANT_TEMPERATURE, VEHICLE_SPEED)
    return Snapshot(*(SENSORS[pid](vehicle) for pid in sensors))
