"""Names in logs: as canplayer takes them, and one for each source."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.protocol.interface_names import LONGEST, interface_name, interface_names

VALID = re.compile(r"[A-Za-z0-9_.@+-]{1,15}")
"""What Linux, canplayer's assignments (vcan0=NAME) and readers of columns take."""


@pytest.mark.parametrize("name", ["can0", "vcan15", "body", "slcan-a.1", "a_name_of_15_ch", "can0@if3", "x"])
def test_name_of_an_interface_stays(name: str) -> None:
    assert interface_name(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("powertrain_left_front", "powertrain_left"),
        ("a_name_of_16_chs", "a_name_of_16_ch"),
        ("My TouCAN (2)", "My_TouCAN__2_"),
        ("a/b\tc\nd", "a_b_c_d"),
        ("Prüfstand", "Pr_fstand"),
        ("ü" * 20, "_" * 15),
        ("rack:42420", "rack_42420"),
        ("rack.local:42420", "rack.loca_42420"),
        ("192.168.1.20:1", "192.168.1.20_1"),
        ("[::1]:42420", "__1_42420"),
        ("[fe80::1%eth0]:42420", "fe80__1_e_42420"),
        ("42", "can42"),
        ("123456789012345", "can123456789012"),
        (".", "_"),
        ("..", "__"),
        ("", "can"),
    ],
)
def test_other_text_becomes_the_name_of_an_interface(name: str, expected: str) -> None:
    assert interface_name(name) == expected


def test_sources_whose_names_would_be_equal_are_numbered() -> None:
    texts = [
        "powertrain_left_front",
        "powertrain_left_rear",
        "powertrain_left",
        "powertrain_le-2",
        "rack (1)",
        "rack_1_",
    ]
    names = interface_names({text: text for text in texts})
    assert names == {
        "powertrain_left_front": "powertrain_le-3",
        "powertrain_left_rear": "powertrain_le-4",
        "powertrain_left": "powertrain_left",
        "powertrain_le-2": "powertrain_le-2",
        "rack (1)": "rack__1_",
        "rack_1_": "rack_1_",
    }


def test_text_that_is_a_name_keeps_it_wherever_its_source_stands() -> None:
    assert interface_names({"a": "powertrain_left_front", "b": "powertrain_left"}) == {
        "a": "powertrain_le-2",
        "b": "powertrain_left",
    }
    assert interface_names({"b": "rack__1_", "a": "rack (1)"}) == {"b": "rack__1_", "a": "rack__1_-2"}


def test_two_sources_with_one_text_get_two_names() -> None:
    assert interface_names({"body": "body", "zeroconf:body": "body"}) == {
        "body": "body",
        "zeroconf:body": "body-2",
    }


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(max_size=4), st.text(max_size=20) | st.text("ab:1", max_size=18), max_size=8))
def test_every_source_has_a_valid_name_of_its_own(texts: dict[str, str]) -> None:
    names = interface_names(texts)
    assert names.keys() == texts.keys()
    assert len(set(names.values())) == len(texts)
    assert all(VALID.fullmatch(name) and name.strip(".") for name in names.values())
    assert all(interface_name(name) == name for name in map(interface_name, texts.values()))


def test_many_sources_with_one_text() -> None:
    names = interface_names({str(number): "x" * 30 for number in range(200)})
    assert len(set(names.values())) == 200
    assert max(map(len, names.values())) == LONGEST
