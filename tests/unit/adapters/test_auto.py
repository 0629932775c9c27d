"""The bus that finds its adapter: the order of its attempts, the adapters that it leaves alone, its reasons."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters import registry
from cancorderd.adapters.auto import ORDER, Search, settings_for, untaken
from cancorderd.adapters.candidate import Candidate
from cancorderd.adapters.failures import AdapterAbsent
from cancorderd.adapters.gs_usb import scan as gs_usb_scan
from cancorderd.adapters.gs_usb.usb_devices import UsbAdapter
from cancorderd.adapters.slcan import scan as slcan_scan
from cancorderd.adapters.slcan.scan import Port
from cancorderd.adapters.socketcan import scan as socketcan_scan
from cancorderd.adapters.socketcan.link import Link
from cancorderd.adapters.socketcan.scan import in_order
from tests.support.harness import poll
from tests.support.slcan_thread import SlcanAdapter
from tests.support.source_reading import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = UsbAdapter(None, 1, 5, (2,), "0031", 0x1D50, 0x606F)
TWO = UsbAdapter(None, 1, 6, (3,), None, 0x1D50, 0x606F)
CANABLE = Port("/dev/by-id/x", "/dev/ttyACM0", (0x16D0, 0x117E), serial="2070")
USBTIN = Port("/dev/ttyACM1", "/dev/ttyACM1", (0x04D8, 0x000A))
LINKS = in_order(
    Link(n, name, True, True, True, 16, kind)
    for n, (name, kind) in enumerate([("vcan0", "vcan"), ("can1", "can")])
)
ALL = ["gs_usb 0031", "gs_usb 1-3", "slcan /dev/by-id/x", "socketcan can1", "socketcan vcan0"]


CANDIDATES = [
    *gs_usb_scan.candidates([ONE, TWO]),
    *slcan_scan.candidates([CANABLE, USBTIN]),
    *socketcan_scan.candidates(LINKS),
]


def tried(*taken: str) -> list[str]:
    return [str(candidate) for candidate in untaken(CANDIDATES, taken)]


def test_the_ancestors_order() -> None:
    assert tried() == ALL
    assert list(dict.fromkeys(candidate.interface for candidate in CANDIDATES)) == list(ORDER)


def test_a_gs_usb_adapter_is_selected_by_serial_number_or_else_by_index() -> None:
    first, second = gs_usb_scan.candidates([ONE, TWO])
    assert ((first.key, first.value), (second.key, second.value)) == (("serial", "0031"), ("index", 1))


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
def test_adapters_that_another_bus_names_are_left_alone(taken: str, left_out: list[str]) -> None:
    assert tried(taken) == [name for name in ALL if name not in left_out]


def canable(path: Path) -> Candidate:
    return Candidate("slcan", str(path), "channel", str(path))


def new_search() -> Search:
    return Search([registry.ADAPTERS[name] for name in ORDER])


@pytest.fixture
def search() -> Iterator[Search]:
    made = new_search()
    yield made
    made.close()


def test_waits_while_no_adapter_is_there(make_settings: Callable[..., Any], search: Search) -> None:
    with pytest.raises(AdapterAbsent, match=r"there is no adapter\. Plug one in"):
        search.open(make_settings("auto"), [], 0)


def test_opens_an_adapter_with_the_keys_of_the_bus(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    keys = {"bitrate": 250_000, "listen_only": True, "filters": [{"id": 0x100}], "silence_timeout": 5}
    with SlcanAdapter(tmp_path / "tty", rate=500) as emulated:
        source = search.open(make_settings("auto", **keys), [canable(tmp_path / "tty")], 0)
        assert source.details["found"] == f"slcan {tmp_path / 'tty'}"
        running(source)
        assert (emulated.adapter.bitrate, emulated.adapter.listen_only) == ("S5", True)
        assert poll(lambda: source.read(time.monotonic()).frames)
        source.close()


def test_adapter_that_cannot_be_set_up_is_left_for_the_next(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with SlcanAdapter(first) as refusing, SlcanAdapter(second, rate=500):
        refusing.adapter.answer = lambda command: b"\a"  # type: ignore[method-assign]
        candidates = [canable(first), canable(second)]
        source = search.open(make_settings("auto"), candidates, time.monotonic())
        with pytest.raises(AdapterAbsent, match=f"slcan {first}: the adapter at {first} refuses S6"):
            running(source)
        source.close()
        source = search.open(make_settings("auto"), candidates, time.monotonic())
        assert source.details["found"] == f"slcan {second}"
        running(source)
        source.close()


def test_continues_with_the_next_adapter_if_the_first_fails_and_reports_each_reason(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    none, tty = tmp_path / "none", tmp_path / "tty"
    with SlcanAdapter(tty):
        source = search.open(make_settings("auto"), [canable(none), canable(tty)], 0)
        assert source.details["found"] == f"slcan {tty}"
        source.close()
    with pytest.raises(AdapterAbsent) as caught:
        search.open(make_settings("auto"), [canable(none), canable(tty)], 5)
    assert f"no adapter works. slcan {none}: {none} does not exist." in str(caught.value)
    assert f" slcan {tty}: {tty} does not exist." in str(caught.value)


def test_keys_that_an_adapter_cannot_have_do_not_end_the_search(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    with SlcanAdapter(tmp_path / "tty"), pytest.raises(AdapterAbsent, match="slcan has no bitrate 333333"):
        search.open(make_settings("auto", bitrate=333_333), [canable(tmp_path / "tty")], 0)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_settings_are_those_that_the_configuration_would_make(
    candidate: Candidate, make_settings: Callable[..., Any]
) -> None:
    keys = {"bitrate": 250_000, "fd": True, "filters": [{"id": 1}], "record": {"keep": 3}}
    kind = registry.ADAPTERS[candidate.interface].settings_class()
    made = settings_for(candidate, make_settings("auto", **keys), kind)
    assert made == make_settings(candidate.interface, **keys, **{candidate.key: candidate.value})
    assert type(made) is kind


@pytest.mark.skipif(sys.platform != "linux", reason="claims are made by abstract sockets")
def test_two_searching_buses_never_get_the_same_adapter(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    other = new_search()
    with SlcanAdapter(tmp_path / "tty"):
        source = search.open(make_settings("auto"), [canable(tmp_path / "tty")], 0)
        with pytest.raises(AdapterAbsent, match='another bus with interface = "auto" has it'):
            other.open(make_settings("auto"), [canable(tmp_path / "tty")], 0)
        source.close()
        search.close()
        other.open(make_settings("auto"), [canable(tmp_path / "tty")], 5).close()
        other.close()


def test_an_adapter_that_failed_is_left_alone_for_a_second(
    make_settings: Callable[..., Any], search: Search, tmp_path: Path
) -> None:
    tried = [canable(tmp_path / "tty")]
    with pytest.raises(AdapterAbsent):
        search.open(make_settings("auto"), tried, 100)
    with SlcanAdapter(tmp_path / "tty"):
        with pytest.raises(AdapterAbsent, match="does not exist"):
            search.open(make_settings("auto"), tried, 100.9)
        search.open(make_settings("auto"), tried, 101).close()
