"""OBD-II: every service's answers (SAE J1979)."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.faults import Faults
from cancorderd.simulator.identity import VIN
from cancorderd.simulator.obd import Obd, bitmap
from cancorderd.simulator.sensors import SENSORS
from cancorderd.simulator.uds import Nrc, Refused
from cancorderd.simulator.vehicle import Vehicle


class Car:
    def __init__(self) -> None:
        self.vehicle = Vehicle(random.Random(1))
        self.faults = Faults(random.Random(1), self.vehicle)
        self.obd = Obd(self.vehicle, self.faults, VIN)

    def ask(self, request: str) -> str:
        return self.obd.answer(bytes.fromhex(request)).hex(" ")


CASES = [
    ("01 00", "41 00 98 1b 80 13"),
    ("01 20", "41 20 00 02 00 01"),
    ("01 40", "41 40 44 00 00 00"),
    ("01 60", ""),
    ("01 01", "41 01 00 07 65 00"),
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
def test_answers(request_: str, expected: str) -> None:
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
def test_refusals(request_: str, nrc: Nrc) -> None:
    with pytest.raises(Refused) as refused:
        Car().ask(request_)
    assert refused.value.nrc == nrc


def test_codes_are_listed_and_counted() -> None:
    car = Car()
    car.faults.appear()
    stored, pending = car.faults.stored(), car.faults.pending()
    assert car.ask("03") == (bytes([0x43, len(stored)]) + b"".join(dtc.obd for dtc in stored)).hex(" ")
    assert car.ask("07") == (bytes([0x47, len(pending)]) + b"".join(dtc.obd for dtc in pending)).hex(" ")
    status = bytes.fromhex(car.ask("01 01"))
    assert status[2] & 0x7F == len(stored)
    assert bool(status[2] & 0x80) == car.faults.lamp


def test_codes_are_cleared_with_the_engine_off_only() -> None:
    car = Car()
    car.faults.appear()
    car.vehicle.idle()
    with pytest.raises(Refused, match="CONDITIONS_NOT_CORRECT"):
        car.ask("04")
    assert car.faults.stored()
    car.vehicle.park()
    car.vehicle.until(1)
    assert car.ask("04") == "44"
    assert not car.faults.stored()


def test_bitmaps_say_what_there_is() -> None:
    car = Car()
    said = set()
    for start in (0x00, 0x20, 0x40):
        bits = int.from_bytes(bytes.fromhex(car.ask(f"01 {start:02x}"))[2:])
        said |= {start + 1 + bit for bit in range(32) if bits >> (31 - bit) & 1}
    assert said == {0x01, 0x20, 0x40, *SENSORS}


def test_a_bitmap_of_nothing_is_none() -> None:
    assert bitmap(0x20, [0x01, 0x20]) == b""
