"""Conflicts between two buses."""

from typing import Any

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.adapters.replay_settings import ReplaySettings
from cancorderd.adapters.slcan.settings import SlcanSettings
from cancorderd.adapters.socketcan.settings import SocketcanSettings
from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.conflicts import conflicts, named_adapters
from tests.support.settings import valid, valid_settings


def mock(name: str, **keys: Any) -> BusSettings:
    return valid(MockSettings, name=name, interface="mock", **keys)


def socketcan(name: str, channel: str = "can0", **keys: Any) -> BusSettings:
    return valid(SocketcanSettings, name=name, interface="socketcan", channel=channel, **keys)


def other(name: str, channel: str | int | None, **options: Any) -> BusSettings:
    return PythonCanSettings(name=name, interface="pcan", channel=channel, options=options)


def found(*buses: BusSettings) -> list[tuple[str, str, str]]:
    return [(conflict.first, conflict.second, conflict.key) for conflict in conflicts(buses)]


ANY4, ANY6, LOCAL4, LOCAL6, LAN4 = "0.0.0.0", "::", "127.0.0.1", "::1", "192.168.1.2"


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ([ANY4, ANY6], [ANY4, ANY6], True),
        ([ANY4], [LOCAL4], True),
        ([LOCAL6], [ANY6], True),
        ([LOCAL4], [LOCAL4, LAN4], True),
        (["::1"], ["0:0:0:0:0:0:0:1"], True),
        ([LOCAL4], [LAN4], False),
        ([ANY4], [ANY6], False),
        ([ANY4], [LOCAL6], False),
    ],
)
def test_one_port_on_addresses(first: list[str], second: list[str], conflict: bool) -> None:
    buses = mock("a", port=42420, listen=first), mock("b", port=42420, listen=second)
    assert found(*buses) == ([("a", "b", "port")] if conflict else [])
    assert found(*reversed(buses)) == ([("b", "a", "port")] if conflict else [])


def test_automatic_and_different_ports_do_not_conflict() -> None:
    assert not found(mock("a"), mock("b"), mock("c", port=42420), mock("d", port=42421))


def test_every_later_bus_conflicts_with_the_first_alone() -> None:
    buses = [mock(name, port=42420) for name in "abc"]
    assert found(*buses) == [("a", "b", "port"), ("a", "c", "port")]


def test_one_adapter() -> None:
    slcan = SlcanSettings(name="s", interface="slcan", channel="can0")
    assert found(socketcan("a"), socketcan("b", "can1"), slcan, socketcan("c")) == [("a", "c", "channel")]
    assert found(other("a", 0), other("b", "0")) == [("a", "b", "channel")]
    assert found(other("a", None), other("b", None)) == [("a", "b", "channel")]


def test_options_tell_adapters_of_python_can_apart() -> None:
    assert not found(other("a", 0, serial="A"), other("b", 0, serial="B"))
    assert found(other("a", 0, x=1, y=2), other("b", 0, y=2, x=1)) == [("a", "b", "channel")]


def test_simulations_and_replays_share_a_channel() -> None:
    replays = [ReplaySettings(name=name, interface="replay", file="/x.asc") for name in "ab"]
    assert not found(mock("c"), mock("d"), *replays)


def test_one_name_on_the_network() -> None:
    upper, lower = "ECUconnect-Logger CAR", "ECUconnect-Logger car"
    assert found(mock("a", service_name=upper), mock("b", service_name=lower)) == [("a", "b", "service_name")]
    assert not found(mock("a", service_name=upper), mock("b", service_name=lower, zeroconf=False))


@pytest.mark.parametrize(
    ("name", "key"),
    [("{host}", "service_name"), ("{host} {port}", None), ("{bus}", None), ("car", "service_name")],
)
def test_one_name_for_several_buses(name: str, key: str | None) -> None:
    shared = f"ECUconnect-Logger {name}"
    conflicts = found(mock("a", service_name=shared), mock("b", service_name=shared))
    assert conflicts == ([("a", "b", key)] if key else [])


def test_disabled_buses_take_no_part() -> None:
    assert not found(socketcan("a", port=42420), socketcan("b", port=42420, enabled=False))
    assert not found(socketcan("a", port=42420, enabled=False), socketcan("b", port=42420))


def test_each_key_has_a_conflict_of_its_own() -> None:
    assert [key for *_, key in found(socketcan("a", port=1), socketcan("b", port=1))] == ["port", "channel"]


def test_named_adapters_are_those_of_enabled_buses_with_hardware() -> None:
    buses = [
        valid_settings("socketcan", channel="can0"),
        valid_settings("slcan", channel="/dev/x"),
        valid_settings("slcan", serial="1205AA6"),
        valid_settings("gs_usb", serial="0031"),
        valid_settings("mock"),
        valid_settings("replay", file="/x.asc"),
        valid_settings("auto"),
        valid_settings("pcan", channel="PCAN_USBBUS1", enabled=False),
    ]
    names = ("gs_usb 0031", "slcan /dev/x", "slcan 1205AA6", "socketcan can0")
    assert named_adapters(buses) == names


def test_a_gs_usb_bus_without_serial_number_may_mean_any_adapter() -> None:
    assert named_adapters([valid_settings("gs_usb", index=1)]) == ("gs_usb",)


def test_channels_of_a_gs_usb_adapter_conflict() -> None:
    buses = [valid_settings("gs_usb", name=name, serial="0031", channel=at) for at, name in enumerate("ab")]
    assert found(*buses) == [("a", "b", "channel")]
    assert not found(buses[0], valid_settings("gs_usb", name="c", index=1))
