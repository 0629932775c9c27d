"""Trouble codes as text and as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.simulator.dtc import Dtc

# SAE J2012, and the ancestor's list.
CODES = {"P0300": 0x0300, "P0171": 0x0171, "P3FFF": 0x3FFF, "C0035": 0x4035, "B0101": 0x8101, "U0073": 0xC073}


@pytest.mark.parametrize("text", CODES)
def test_two_bytes(text: str) -> None:
    dtc = Dtc.parse(text)
    assert dtc.obd == CODES[text].to_bytes(2)
    assert str(dtc) == text


def test_three_bytes_with_the_failure_type() -> None:
    assert Dtc.parse("U0073-88").uds == bytes.fromhex("c0 73 88")
    assert Dtc.parse("P0300").uds == bytes.fromhex("03 00 00")


@pytest.mark.parametrize("text", ["", "P", "X0300", "P030", "P03000", "P4300", "P03G0"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Dtc.parse(text)


@given(st.integers(0, 0xFFFF))
def test_every_code_has_its_text(code: int) -> None:
    assert Dtc.parse(str(Dtc(code))) == Dtc(code)
