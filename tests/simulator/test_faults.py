"""The fault memory: what comes up, what is told, what is cleared."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.dtc import ALL_GROUPS, EMISSIONS_GROUP, Dtc, Status
from cancorderd.simulator.faults import HEALTHY, SUPPORTED, Faults
from cancorderd.simulator.uds import Refused
from cancorderd.simulator.vehicle import Vehicle


def faulty(seed: int) -> Faults:
    vehicle = Vehicle(random.Random(seed))
    vehicle.drive()
    vehicle.until(30)
    faults = Faults(random.Random(seed), vehicle)
    faults.appear()
    return faults


@pytest.mark.parametrize("seed", range(20))
def test_three_to_seven_codes_come_up_and_are_told_alike(seed: int) -> None:
    faults = faulty(seed)
    failed = faults.matching(Status.FAILED_SINCE_CLEAR)
    assert 3 <= len(failed) <= 7
    assert int.from_bytes(faults.read(b"\x19\x01\x20")[4:]) == len(failed)
    told = faults.read(b"\x19\x02\x20")[3:]
    assert told == b"".join(dtc.uds + bytes([status]) for dtc, status in failed)
    assert set(faults.stored()) == {dtc for dtc, status in failed if status & Status.CONFIRMED}
    assert set(faults.pending()) == {dtc for dtc, status in failed if status & Status.PENDING}
    assert faults.lamp == any(status & Status.WARNING_INDICATOR for _, status in failed)


def test_all_four_systems_are_supported() -> None:
    assert {str(dtc)[0] for dtc in SUPPORTED} == set("PCBU")
    supported = faulty(1).read(b"\x19\x0a")[3:]
    assert [supported[at : at + 3] for at in range(0, len(supported), 4)] == [dtc.uds for dtc in SUPPORTED]


def test_a_snapshot_says_what_the_car_did() -> None:
    faults = faulty(1)
    dtc, status = faults.matching(Status.FAILED_SINCE_CLEAR)[0]
    snapshot = faults.read(b"\x19\x04" + dtc.uds + b"\x01")
    assert snapshot[2:8] == dtc.uds + bytes([status, 1, 3])
    assert (snapshot[8:10].hex(), snapshot[12:14].hex(), snapshot[15:17].hex()) == ("f40c", "f405", "f40d")
    assert int.from_bytes(snapshot[10:12]) / 4 > 700
    assert len(snapshot) == 18


def test_clearing_everything() -> None:
    faults = faulty(1)
    faults.clear(ALL_GROUPS)
    assert faults.matching(0xFF & ~HEALTHY) == []
    assert not faults.lamp
    assert [len(faults.read(b"\x19\x04" + dtc.uds + b"\xff")) for dtc in SUPPORTED] == [6] * len(SUPPORTED)


def test_clearing_a_group_leaves_the_others() -> None:
    faults = faulty(next(seed for seed in range(50) if len(faulty(seed).matching(0x20)) == len(SUPPORTED)))
    faults.clear(EMISSIONS_GROUP)
    assert {str(dtc)[0] for dtc, _ in faults.matching(0x20)} == set("CBU")
    faults.clear(int.from_bytes(Dtc.parse("C0035-1C").uds))
    assert {str(dtc)[0] for dtc, _ in faults.matching(0x20)} == set("BU")


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(Refused, match="OUT_OF_RANGE"):
        faulty(1).clear(0x123456)


def test_nothing_comes_up_while_recording_is_off() -> None:
    faults = faulty(1)
    faults.clear()
    faults.recording = False
    faults.appear()
    assert faults.matching(Status.FAILED_SINCE_CLEAR) == []
