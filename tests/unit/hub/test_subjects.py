"""Names of streams and subjects at the hub."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.config.bus_settings import BUS_NAME
from cancorderd.hub import subjects


def test_names_are_those_of_the_contract() -> None:
    assert subjects.stream_name("truck-17") == "CAN_truck-17"
    assert subjects.subject("truck-17", "powertrain") == "can.truck-17.powertrain"
    assert subjects.all_subjects("truck-17") == "can.truck-17.*"


@given(st.from_regex(subjects.GATEWAY_NAME, fullmatch=True), st.from_regex(BUS_NAME, fullmatch=True))
def test_names_are_read_back(gateway: str, bus: str) -> None:
    assert subjects.parsed_subject(subjects.subject(gateway, bus)) == (gateway, bus)
    assert subjects.gateway_of_stream(subjects.stream_name(gateway)) == gateway


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "a\n", "ä", "a" * 65, "a/b"])
def test_names_that_subjects_cannot_hold_are_refused(name: str) -> None:
    assert not subjects.is_gateway_name(name)
    assert subjects.gateway_of_stream(f"CAN_{name}") is None


@pytest.mark.parametrize("text", ["can.a", "can.a.b.c", "can..b", "other.a.b", "can.a.b\n", "can.a.-b"])
def test_other_subjects_belong_to_no_bus(text: str) -> None:
    assert subjects.parsed_subject(text) is None


@pytest.mark.parametrize(
    ("subject", "gateway"),
    [
        ("can.truck-17.a", "truck-17"),
        ("$JS.API.STREAM.INFO.CAN_truck-17", "truck-17"),
        ("$JS.API.STREAM.NAMES", None),
        ("_INBOX_lab.>", None),
    ],
)
def test_subjects_belong_to_a_gateway(subject: str, gateway: str | None) -> None:
    assert subjects.gateway_of(subject) == gateway


@given(st.text())
def test_every_host_name_makes_a_gateway_name(hostname: str) -> None:
    assert subjects.is_gateway_name(subjects.default_gateway(hostname, "0123abcd"))


@pytest.mark.parametrize(
    ("hostname", "gateway"),
    [("truck.example.net", "truck-0123abcd"), ("", "localhost-0123abcd"), ("my car", "my-car-0123abcd")],
)
def test_default_names(hostname: str, gateway: str) -> None:
    assert subjects.default_gateway(hostname, "0123abcd") == gateway


@pytest.mark.parametrize(("length", "kept"), [(54, 54), (55, 55), (56, 55), (300, 55)])
def test_as_much_of_a_host_name_as_there_is_room_for_is_kept(length: int, kept: int) -> None:
    assert subjects.default_gateway("a" * length, "0123abcd") == "a" * kept + "-0123abcd"
