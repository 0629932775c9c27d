"""Diagnostic trouble codes: their text and their bytes. Pure.

Two bytes as OBD-II sends them (SAE J2012, ISO 15031-6): two bits for the system, four digits. UDS adds
a failure type byte (SAE J2012-DA), which makes three.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

SYSTEMS = "PCBU"
"""Powertrain, chassis, body, network: the two highest bits, in this order."""

ALL_GROUPS = 0xFFFFFF
"""groupOfDTC that means every one (ISO 14229-1:2013, annex D.1)."""
EMISSIONS_GROUP = 0xFFFF33


class Status(enum.IntFlag):
    """The status byte (ISO 14229-1:2013, annex D.2)."""

    TEST_FAILED = 0x01
    TEST_FAILED_THIS_CYCLE = 0x02
    PENDING = 0x04
    CONFIRMED = 0x08
    NOT_COMPLETED_SINCE_CLEAR = 0x10
    FAILED_SINCE_CLEAR = 0x20
    NOT_COMPLETED_THIS_CYCLE = 0x40
    WARNING_INDICATOR = 0x80


class Dtc(NamedTuple):
    """A code such as P0300, and its failure type byte."""

    code: int
    failure_type: int = 0

    @classmethod
    def parse(cls, text: str) -> Dtc:
        """From `P0300` or `P0300-1A`. Raises ValueError on any other text."""
        name, _, failure_type = text.partition("-")
        system, digits = SYSTEMS.find(name[:1]), name[1:]
        # The first digit has two bits of its own, so it stops at 3.
        if system < 0 or len(name) != 5 or digits[0] not in "0123":
            raise ValueError(f"{text!r} is no trouble code")
        return cls(system << 14 | int(digits, 16), int(failure_type or "0", 16))

    def __str__(self) -> str:
        return f"{SYSTEMS[self.code >> 14]}{self.code & 0x3FFF:04X}"

    @property
    def obd(self) -> bytes:
        return self.code.to_bytes(2, "big")

    @property
    def uds(self) -> bytes:
        return self.obd + bytes([self.failure_type])
