"""OBD-II: responses of every service (SAE J1979)."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.data_identifiers import VIN
from cancorderd.simulator.fault_memory import FaultMemory
from cancorderd.simulator.obd import Obd, bitmap
from cancorderd.simulator.sensors import SENSORS
from cancorderd.simulator.uds import Nrc, Refused
from cancorderd.simulator.vehicle import Vehicle


class Car:
    def __init__(self, seed: int = 1) -> None:
        self.vehicle = Vehicle(random.Random(seed))
        self.faults = FaultMemory(random.Random(seed), self.vehicle)
        self.obd = Obd(self.vehicle, self.faults, VIN)

    def ask(self, request: str) -> str:
        return self.obd.answer(bytes.fromhex(request)).hex(" ")


CASES = [
    ("01 00", "41 00 98 1b 80 13"),
    ("01 20", "41 20 00 02 00 01"),
    ("01 40", "41 40 44 00 00 00"),
    ("01 60", ""),
    ("01 01", "41 01 00 77 65 65"),
    ("01 0d", "41 0d 00"),
    ("01 0b", ""),
    ("01 0d 0b 1c 0c", "41 0d 00 1c 06 0c 00 00"),
    ("03", "43 00"),
    ("07", "47 00"),
    ("04", "44"),
    ("09 00", "49 00 40 40 00 00"),
    ("09 02", "49 02 01 " + VIN.hex(" ")),
    ("09 0a", "49 0a 01 " + b"ECM\0-EngineControl\0\0".hex(" ")),
    ("09 04", ""),
]


@pytest.mark.parametrize(("request_", "expected"), CASES)
def test_each_request_gets_the_response_in_the_table(request_: str, expected: str) -> None:
    assert Car().ask(request_) == expected


REFUSED = [
    ("01", Nrc.INCORRECT_LENGTH),
    ("01 04 05 0c 0d 0f 10 11", Nrc.INCORRECT_LENGTH),
    ("03 00", Nrc.INCORRECT_LENGTH),
    ("04 00", Nrc.INCORRECT_LENGTH),
    ("09", Nrc.INCORRECT_LENGTH),
    ("09 02 00", Nrc.INCORRECT_LENGTH),
    ("02 00", Nrc.SERVICE_NOT_SUPPORTED),
    ("0a", Nrc.SERVICE_NOT_SUPPORTED),
]


@pytest.mark.parametrize(("request_", "nrc"), REFUSED)
def test_invalid_requests_are_refused(request_: str, nrc: Nrc) -> None:
    with pytest.raises(Refused) as refused:
        Car().ask(request_)
    assert refused.value.nrc == nrc


def test_codes_are_listed_and_counted() -> None:
    car = Car()
    car.faults.set_random_codes()
    stored, pending = car.faults.stored(), car.faults.pending()
    assert car.ask("03") == (bytes([0x43, len(stored)]) + b"".join(dtc.obd for dtc in stored)).hex(" ")
    assert car.ask("07") == (bytes([0x47, len(pending)]) + b"".join(dtc.obd for dtc in pending)).hex(" ")
    status = bytes.fromhex(car.ask("01 01"))
    assert status[2] & 0x7F == len(stored)
    assert bool(status[2] & 0x80) == car.faults.lamp


@pytest.mark.parametrize("seed", range(20))
def test_only_emission_related_codes_are_reported_counted_and_light_the_lamp(seed: int) -> None:
    car = Car(seed)
    car.faults.set_random_codes()
    for request in ("03", "07"):
        codes = bytes.fromhex(car.ask(request))[2:]
        systems = {"PCBU"[codes[index] >> 6] for index in range(0, len(codes), 2)}
        assert systems <= set("PU")
    lit = [str(dtc) for dtc, _ in car.faults.matching(0x80)]
    status = bytes.fromhex(car.ask("01 01"))
    assert bool(status[2] & 0x80) == any(code[0] in "PU" for code in lit)


def test_other_codes_are_never_cleared_by_obd() -> None:
    left = set()
    for seed in range(20):
        car = Car(seed)
        car.faults.set_random_codes()
        others = [str(dtc) for dtc, _ in car.faults.matching(0x20) if str(dtc)[0] in "BC"]
        assert car.ask("04") == "44"
        assert [str(dtc) for dtc, _ in car.faults.matching(0x20)] == others
        left |= set(others)
    assert left == {"C0035", "B0101"}


def test_readiness_follows_the_drive_and_is_reset_by_clearing() -> None:
    car = Car()
    car.vehicle.drive()
    seen = []
    for tenths in range(120):
        car.vehicle.advance(tenths / 10)
        seen.append(car.ask("01 01")[9:])
    distinct = list(dict.fromkeys(seen))
    assert (distinct[0], distinct[-1]) == ("77 65 65", "07 65 00")
    assert len(distinct) == 8  # seven self-tests, one after another
    car.vehicle.park()
    car.vehicle.advance(40)
    assert car.ask("01 01")[9:] == "07 65 00"
    assert car.ask("04") == "44"
    assert car.ask("01 01")[9:] == "77 65 65"


def test_codes_are_cleared_only_while_the_engine_is_off() -> None:
    car = Car()
    car.faults.set_random_codes()
    car.vehicle.idle()
    with pytest.raises(Refused, match="CONDITIONS_NOT_CORRECT"):
        car.ask("04")
    assert car.faults.stored()
    car.vehicle.park()
    car.vehicle.advance(1)
    assert car.ask("04") == "44"
    assert not car.faults.stored()


def test_bitmaps_list_all_supported_pids() -> None:
    car = Car()
    supported = set()
    for start in (0x00, 0x20, 0x40):
        bits = int.from_bytes(bytes.fromhex(car.ask(f"01 {start:02x}"))[2:])
        supported |= {start + 1 + bit for bit in range(32) if bits >> (31 - bit) & 1}
    assert supported == {0x01, 0x20, 0x40, *SENSORS}


def test_a_bitmap_without_ids_is_empty() -> None:
    assert bitmap(0x20, [0x01, 0x20]) == b""
