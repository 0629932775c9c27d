"""The bus that finds its adapter: what it tries in which order, what it leaves alone, what it says."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.detect.links import in_order
from cancorderd.detect.serial_ports import Port
from cancorderd.errors import AdapterAbsent
from cancorderd.sources.auto import Choice, Search, choices, section_for
from cancorderd.sources.can_link_messages import Link
from cancorderd.sources.usb_devices import Adapter
from tests.adapters.slcan_thread import SlcanAdapter
from tests.harness import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = Adapter(None, 1, 5, (2,), "0031", 0x1D50, 0x606F)
TWO = Adapter(None, 1, 6, (3,), None, 0x1D50, 0x606F)
CANABLE = Port("/dev/by-id/x", "/dev/ttyACM0", (0x16D0, 0x117E), serial="2070")
USBTIN = Port("/dev/ttyACM1", "/dev/ttyACM1", (0x04D8, 0x000A))
LINKS = in_order(
    Link(n, name, True, True, True, 16, kind)
    for n, (name, kind) in enumerate([("vcan0", "vcan"), ("can1", "can")])
)
ALL = ["gs_usb 0031", "gs_usb 1-3", "slcan /dev/by-id/x", "socketcan can1", "socketcan vcan0"]


def tried(*taken: str) -> list[str]:
    return [str(one) for one in choices([ONE, TWO], [CANABLE, USBTIN], LINKS, taken)]


def test_the_ancestors_order() -> None:
    assert tried() == ALL
    first, second, *_ = choices([ONE, TWO], [], [], ())
    assert (first[2:], second[2:]) == (("serial", "0031"), ("index", 1))


@pytest.mark.parametrize(
    ("taken", "left_out"),
    [
        ("gs_usb 0031", ALL[:1]),
        ("gs_usb", ALL[:2]),
        ("slcan /dev/by-id/x", ALL[2:3]),
        ("slcan 2070", ALL[2:3]),
        ("socketcan can1", ALL[3:4]),
        ("socketcan can7", []),
    ],
)
def test_what_another_bus_names_is_left_alone(taken: str, left_out: list[str]) -> None:
    assert tried(taken) == [one for one in ALL if one not in left_out]


def canable(path: Path) -> Choice:
    return Choice("slcan", str(path), "channel", str(path))


@pytest.fixture
def search() -> Iterator[Search]:
    made = Search()
    yield made
    made.close()


def test_waits_while_nothing_is_there(section: Callable[..., Any], search: Search) -> None:
    with pytest.raises(AdapterAbsent, match=r"there is no adapter\. Plug one in"):
        search.open(section("auto"), [], 0)


def test_opens_what_is_there_with_the_keys_of_the_bus(
    section: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    keys = {"bitrate": 250_000, "listen_only": True, "filters": [{"id": 0x100}], "silence_timeout": 5}
    with SlcanAdapter(tmp_path / "tty", rate=500) as emulated:
        source = search.open(section("auto", **keys), [canable(tmp_path / "tty")], 0)
        assert source.details["found"] == f"slcan {tmp_path / 'tty'}"
        assert (emulated.adapter.bitrate, emulated.adapter.listen_only) == ("S5", True)
        assert poll(lambda: source.read(time.monotonic()).frames)
        source.close()


def test_goes_on_to_the_next_where_one_does_not_work_and_tells_why(
    section: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    none, tty = tmp_path / "none", tmp_path / "tty"
    with SlcanAdapter(tty):
        source = search.open(section("auto"), [canable(none), canable(tty)], 0)
        assert source.details["found"] == f"slcan {tty}"
        source.close()
    with pytest.raises(AdapterAbsent) as told:
        search.open(section("auto"), [canable(none), canable(tty)], 5)
    assert f"no adapter works. slcan {none}: {none} does not exist." in str(told.value)
    assert f" slcan {tty}: {tty} does not exist." in str(told.value)


def test_keys_that_an_adapter_cannot_have_do_not_end_the_search(
    section: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    with SlcanAdapter(tmp_path / "tty"), pytest.raises(AdapterAbsent, match="slcan has no bitrate 333333"):
        search.open(section("auto", bitrate=333_333), [canable(tmp_path / "tty")], 0)


@pytest.mark.parametrize("choice", choices([ONE, TWO], [CANABLE], LINKS, ()), ids=str)
def test_sections_are_those_that_the_configuration_would_make(
    choice: Choice, section: Callable[..., Any]
) -> None:
    keys = {"bitrate": 250_000, "fd": True, "filters": [{"id": 1}]}
    made = vars(section_for(choice, section("auto", **keys)))
    expected = vars(section(choice.interface, **keys, **{choice.key: choice.value}))
    assert expected.items() <= made.items()
    assert made.keys() - expected.keys() == {"taken", "kinds"}


@pytest.mark.skipif(sys.platform != "linux", reason="claims are made by abstract sockets")
def test_two_searching_buses_never_get_the_same_adapter(
    section: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    other = Search()
    with SlcanAdapter(tmp_path / "tty"):
        source = search.open(section("auto"), [canable(tmp_path / "tty")], 0)
        with pytest.raises(AdapterAbsent, match='another bus with interface = "auto" has it'):
            other.open(section("auto"), [canable(tmp_path / "tty")], 0)
        source.close()
        search.close()
        other.open(section("auto"), [canable(tmp_path / "tty")], 5).close()
        other.close()


def test_an_adapter_that_failed_is_left_alone_for_a_second(
    section: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    tried = [canable(tmp_path / "tty")]
    with pytest.raises(AdapterAbsent):
        search.open(section("auto"), tried, 100)
    with SlcanAdapter(tmp_path / "tty"):
        with pytest.raises(AdapterAbsent, match="does not exist"):
            search.open(section("auto"), tried, 100.9)
        search.open(section("auto"), tried, 101).close()
