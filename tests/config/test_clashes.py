"""What two buses cannot share."""

from typing import Any

import pytest

from cancorderd.config.clashes import clashes
from cancorderd.config.model import BusBase, MockBus, PythonCanBus, ReplayBus, SlcanBus, SocketcanBus


def mock(name: str, **keys: Any) -> BusBase:
    return MockBus.model_validate({"name": name, "interface": "mock", **keys})


def socketcan(name: str, channel: str = "can0", **keys: Any) -> BusBase:
    return SocketcanBus.model_validate({"name": name, "interface": "socketcan", "channel": channel, **keys})


def other(name: str, channel: str | int | None, **options: Any) -> BusBase:
    return PythonCanBus(name=name, interface="pcan", channel=channel, options=options)


def found(*buses: BusBase) -> list[tuple[str, str, str]]:
    return [(clash.first, clash.second, clash.key) for clash in clashes(buses)]


ANY4, ANY6, LOCAL4, LOCAL6, LAN4 = "0.0.0.0", "::", "127.0.0.1", "::1", "192.168.1.2"


@pytest.mark.parametrize(
    ("one", "two", "clash"),
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
def test_one_port_on_addresses(one: list[str], two: list[str], clash: bool) -> None:
    buses = mock("a", port=42420, listen=one), mock("b", port=42420, listen=two)
    assert found(*buses) == ([("a", "b", "port")] if clash else [])
    assert found(*reversed(buses)) == ([("b", "a", "port")] if clash else [])


def test_automatic_and_different_ports_do_not_clash() -> None:
    assert not found(mock("a"), mock("b"), mock("c", port=42420), mock("d", port=42421))


def test_every_later_bus_clashes_with_the_first_alone() -> None:
    buses = [mock(name, port=42420) for name in "abc"]
    assert found(*buses) == [("a", "b", "port"), ("a", "c", "port")]


def test_one_adapter() -> None:
    slcan = SlcanBus(name="s", interface="slcan", channel="can0")
    assert found(socketcan("a"), socketcan("b", "can1"), slcan, socketcan("c")) == [("a", "c", "channel")]
    assert found(other("a", 0), other("b", "0")) == [("a", "b", "channel")]
    assert found(other("a", None), other("b", None)) == [("a", "b", "channel")]


def test_options_tell_adapters_of_python_can_apart() -> None:
    assert not found(other("a", 0, serial="A"), other("b", 0, serial="B"))
    assert found(other("a", 0, x=1, y=2), other("b", 0, y=2, x=1)) == [("a", "b", "channel")]


def test_simulations_and_replays_share_a_channel() -> None:
    replays = [ReplayBus(name=name, interface="replay", file="/x.asc") for name in "ab"]
    assert not found(mock("c"), mock("d"), *replays)


def test_one_name_on_the_network() -> None:
    upper, lower = "ECUconnect-Logger CAR", "ECUconnect-Logger car"
    assert found(mock("a", service_name=upper), mock("b", service_name=lower)) == [("a", "b", "service_name")]
    assert not found(mock("a", service_name=upper), mock("b", service_name=lower, zeroconf=False))


def test_disabled_buses_take_no_part() -> None:
    assert not found(socketcan("a", port=42420), socketcan("b", port=42420, enabled=False))
    assert not found(socketcan("a", port=42420, enabled=False), socketcan("b", port=42420))


def test_each_key_is_told() -> None:
    assert [key for *_, key in found(socketcan("a", port=1), socketcan("b", port=1))] == ["port", "channel"]
