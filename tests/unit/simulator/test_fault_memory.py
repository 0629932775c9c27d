"""Trouble codes as text and as bytes; codes that are set, read and cleared."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.simulator.fault_memory import (
    ALL_GROUPS,
    EMISSIONS_GROUP,
    HEALTHY,
    SUPPORTED,
    Dtc,
    FaultMemory,
    Status,
)
from cancorderd.simulator.uds import Refused
from cancorderd.simulator.vehicle import Vehicle

# SAE J2012, and the ancestor's list.
CODES = {"P0300": 0x0300, "P0171": 0x0171, "P3FFF": 0x3FFF, "C0035": 0x4035, "B0101": 0x8101, "U0073": 0xC073}


@pytest.mark.parametrize("text", CODES)
def test_a_code_has_two_bytes_in_obd(text: str) -> None:
    dtc = Dtc.parse(text)
    assert dtc.obd == CODES[text].to_bytes(2)
    assert str(dtc) == text


def test_a_code_has_three_bytes_in_uds_with_its_failure_type() -> None:
    assert Dtc.parse("U0073-88").uds == bytes.fromhex("c0 73 88")
    assert Dtc.parse("P0300").uds == bytes.fromhex("03 00 00")


@pytest.mark.parametrize("text", ["", "P", "X0300", "P030", "P03000", "P4300", "P03G0"])
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Dtc.parse(text)


@given(st.integers(0, 0xFFFF))
def test_every_code_survives_a_round_trip_through_text(code: int) -> None:
    assert Dtc.parse(str(Dtc(code))) == Dtc(code)


def faulty(seed: int) -> FaultMemory:
    vehicle = Vehicle(random.Random(seed))
    vehicle.drive()
    vehicle.advance(30)
    faults = FaultMemory(random.Random(seed), vehicle)
    faults.set_random_codes()
    return faults


@pytest.mark.parametrize("seed", range(20))
def test_three_to_seven_codes_are_set_and_all_services_agree_on_them(seed: int) -> None:
    faults = faulty(seed)
    failed = faults.matching(Status.FAILED_SINCE_CLEAR)
    assert 3 <= len(failed) <= 7
    assert int.from_bytes(faults.read(b"\x19\x01\x20")[4:]) == len(failed)
    records = faults.read(b"\x19\x02\x20")[3:]
    assert records == b"".join(dtc.uds + bytes([status]) for dtc, status in failed)
    emissions = [(dtc, status) for dtc, status in failed if str(dtc)[0] in "PU"]
    assert set(faults.stored()) == {dtc for dtc, status in emissions if status & Status.CONFIRMED}
    assert set(faults.pending()) == {dtc for dtc, status in emissions if status & Status.PENDING}
    assert faults.lamp == any(status & Status.WARNING_INDICATOR for _, status in emissions)


def test_all_four_systems_are_supported() -> None:
    assert {str(dtc)[0] for dtc in SUPPORTED} == set("PCBU")
    supported = faulty(1).read(b"\x19\x0a")[3:]
    assert [supported[start : start + 3] for start in range(0, len(supported), 4)] == [
        dtc.uds for dtc in SUPPORTED
    ]


def test_a_snapshot_holds_the_sensor_values_of_the_drive() -> None:
    faults = faulty(1)
    dtc, status = faults.matching(Status.FAILED_SINCE_CLEAR)[0]
    snapshot = faults.read(b"\x19\x04" + dtc.uds + b"\x01")
    assert snapshot[2:8] == dtc.uds + bytes([status, 1, 3])
    assert (snapshot[8:10].hex(), snapshot[12:14].hex(), snapshot[15:17].hex()) == ("f40c", "f405", "f40d")
    assert int.from_bytes(snapshot[10:12]) / 4 > 700
    assert len(snapshot) == 18


def test_clearing_all_codes_clears_lamp_and_snapshots() -> None:
    faults = faulty(1)
    faults.clear(ALL_GROUPS)
    assert faults.matching(0xFF) == [(dtc, HEALTHY) for dtc in SUPPORTED]
    assert not faults.lamp
    assert [len(faults.read(b"\x19\x04" + dtc.uds + b"\xff")) for dtc in SUPPORTED] == [6] * len(SUPPORTED)


def test_clearing_a_group_leaves_the_others() -> None:
    faults = faulty(next(seed for seed in range(50) if len(faulty(seed).matching(0x20)) == len(SUPPORTED)))
    faults.clear(EMISSIONS_GROUP)
    assert {str(dtc)[0] for dtc, _ in faults.matching(0x20)} == set("CB")
    faults.clear(int.from_bytes(Dtc.parse("C0035-1C").uds))
    assert {str(dtc)[0] for dtc, _ in faults.matching(0x20)} == set("B")


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(Refused, match="OUT_OF_RANGE"):
        faulty(1).clear(0x123456)


def test_no_code_is_set_while_recording_is_off() -> None:
    faults = faulty(1)
    faults.clear()
    faults.recording = False
    faults.set_random_codes()
    assert faults.matching(Status.FAILED_SINCE_CLEAR) == []


def statuses(vehicle: Vehicle, faults: FaultMemory, now: float) -> dict[str, int]:
    vehicle.advance(now)
    records = faults.read(b"\x19\x0a")[3:]
    return {str(dtc): records[4 * index + 3] for index, dtc in enumerate(SUPPORTED)}


def test_a_drive_completes_the_tests_and_the_next_begins_them_again() -> None:
    vehicle = Vehicle(random.Random(1))
    faults = FaultMemory(random.Random(1), vehicle)
    assert set(statuses(vehicle, faults, 0).values()) == {0x50}
    vehicle.drive()
    started = statuses(vehicle, faults, 2.5)
    assert (started["P0300"], started["P0442"]) == (0x00, 0x50)
    assert set(statuses(vehicle, faults, 20).values()) == {0x00}
    vehicle.park()
    assert set(statuses(vehicle, faults, 60).values()) == {0x00}
    vehicle.drive()
    assert set(statuses(vehicle, faults, 60.1).values()) == {0x40}
    assert set(statuses(vehicle, faults, 80).values()) == {0x00}
    faults.clear(int.from_bytes(Dtc.parse("P0300").uds))
    cleared = statuses(vehicle, faults, 80)
    assert (cleared.pop("P0300"), set(cleared.values())) == (0x50, {0x00})


def test_a_fault_that_is_still_there_is_found_again_in_the_next_cycle() -> None:
    vehicle = Vehicle(random.Random(1))
    faults = FaultMemory(random.Random(2), vehicle)
    vehicle.drive()
    vehicle.advance(20)
    faults.set_random_codes()
    vehicle.park()
    vehicle.advance(60)
    present = [dtc for dtc, _ in faults.matching(Status.TEST_FAILED)]
    assert present
    vehicle.drive()
    assert faults.matching(Status.TEST_FAILED_THIS_CYCLE) == []
    vehicle.advance(80)
    assert [dtc for dtc, _ in faults.matching(Status.TEST_FAILED_THIS_CYCLE)] == present


def test_tests_make_no_progress_while_recording_is_off() -> None:
    vehicle = Vehicle(random.Random(1))
    faults = FaultMemory(random.Random(1), vehicle)
    faults.recording = False
    vehicle.drive()
    assert set(statuses(vehicle, faults, 20).values()) == {0x50}
    faults.recording = True
    assert set(statuses(vehicle, faults, 40).values()) == {0x00}
