"""The changes of a link and their order, the reasons if the kernel refuses, and the details in `status`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.socketcan.link import Link, LinkChange, LinkTiming
from cancorderd.adapters.socketcan.link_setup import (
    changes_for,
    differing,
    link_bus_off_reason,
    link_details,
    refusal_failure,
    up_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT = Link(
    2, "can0", True, True, True, 16, "can", 0, 0, "error-active",
    LinkTiming(500_000, 0.875, 16), None, False, False, 0, (0, 0),
)  # fmt: skip
RIGHT_FD = RIGHT._replace(mtu=72, fd=True, data_bittiming=LinkTiming(2_000_000, 0.75, 24))
VCAN = Link(3, "can0", True, True, True, 16, "vcan")
FD = {"fd": True, "data_bitrate": 2_000_000}
TIMING = {"bitrate": 500_000, "sample_point": 0}
DOWN, UP = LinkChange("", up=False), LinkChange("", up=True)


def mode(key: str, **modes: str) -> LinkChange:
    return LinkChange(key, can={"IFLA_CAN_CTRLMODE": modes})


def nominal(bitrate: int, sample_point: int = 0) -> LinkChange:
    return LinkChange(
        "bitrate", can={"IFLA_CAN_BITTIMING": {"bitrate": bitrate, "sample_point": sample_point}}
    )


def data(key: str, rate: int) -> LinkChange:
    return LinkChange(
        key,
        can={
            "IFLA_CAN_CTRLMODE": {"fd": "on"},
            "IFLA_CAN_BITTIMING": TIMING,
            "IFLA_CAN_DATA_BITTIMING": {"bitrate": rate, "sample_point": 0},
        },
    )


CASES: dict[str, tuple[Link, dict[str, Any], list[LinkChange]]] = {
    "right": (RIGHT, {}, []),
    "right with FD": (RIGHT_FD, FD, []),
    "right but down": (RIGHT._replace(up=False), {}, [UP]),
    "right but bus-off": (RIGHT._replace(controller="bus-off"), {}, [DOWN, UP]),
    "restart_ms without the key stays": (RIGHT._replace(restart_ms=100), {}, []),
    "never configured": (
        RIGHT._replace(up=False, bittiming=None, controller="stopped"), {}, [nominal(500_000), UP],
    ),
    "another bitrate": (RIGHT, {"bitrate": 250_000}, [DOWN, nominal(250_000), UP]),
    "nearest rate that the clock can make of 83333": (
        RIGHT._replace(bittiming=LinkTiming(83_160, 0.875, 16)), {"bitrate": 83_333}, [],
    ),
    "rate further away": (
        RIGHT._replace(bittiming=LinkTiming(82_500, 0.875, 16)), {"bitrate": 83_333}, [DOWN, nominal(83_333), UP],
    ),
    # For 0.8 of 16 quanta, the kernel chooses 0.75.
    "quantum ahead of the sample point": (
        RIGHT._replace(bittiming=LinkTiming(500_000, 0.75, 16)), {"sample_point": 0.8}, [],
    ),
    "another sample point": (RIGHT, {"sample_point": 0.8}, [DOWN, nominal(500_000, 800), UP]),
    "driver without a sample point": (
        RIGHT._replace(bittiming=LinkTiming(500_000, 0.0, 0)), {"sample_point": 0.8}, [],
    ),
    "listen_only on": (RIGHT, {"listen_only": True}, [DOWN, mode("listen_only", listenonly="on"), UP]),
    "listen_only off": (
        RIGHT._replace(listen_only=True), {}, [DOWN, mode("listen_only", listenonly="off"), UP],
    ),
    "fd on": (RIGHT, FD, [DOWN, data("fd", 2_000_000), UP]),
    "fd on, data at the nominal rate": (RIGHT, {"fd": True}, [DOWN, data("fd", 500_000), UP]),
    "another data rate": (
        RIGHT_FD, {**FD, "data_bitrate": 4_000_000}, [DOWN, data("data_bitrate", 4_000_000), UP],
    ),
    "fd off": (RIGHT_FD, {}, [DOWN, mode("fd", fd="off"), UP]),
    "restart_ms": (
        RIGHT, {"restart_ms": 100}, [DOWN, LinkChange("restart_ms", can={"IFLA_CAN_RESTART_MS": 100}), UP],
    ),
    "restart_ms off": (
        RIGHT._replace(restart_ms=100), {"restart_ms": 0},
        [DOWN, LinkChange("restart_ms", can={"IFLA_CAN_RESTART_MS": 0}), UP],
    ),
    "everything": (
        RIGHT._replace(up=False, bittiming=None),
        {**FD, "bitrate": 500_000, "listen_only": True, "restart_ms": 5},
        [
            mode("listen_only", listenonly="on"), nominal(500_000), data("fd", 2_000_000),
            LinkChange("restart_ms", can={"IFLA_CAN_RESTART_MS": 5}), UP,
        ],
    ),
    "vcan": (VCAN, {"bitrate": 250_000, "listen_only": True}, []),
    "vcan down": (VCAN._replace(up=False), {"restart_ms": 100}, [UP]),
    "vcan with FD": (VCAN, FD, [DOWN, LinkChange("fd", mtu=72), UP]),
    "vcan that has FD": (VCAN._replace(mtu=72), FD, []),
    "vcan with FD that the bus does not use": (VCAN._replace(mtu=72), {}, []),
}  # fmt: skip


@pytest.fixture
def bus(make_settings: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **keys: make_settings("socketcan", channel="can0", configure=True, **keys)


@pytest.mark.parametrize(("link", "keys", "expected"), CASES.values(), ids=CASES)
def test_changes(
    bus: Callable[..., Any], link: Link, keys: dict[str, Any], expected: list[LinkChange]
) -> None:
    assert changes_for(link, bus(**keys)) == expected


def test_differing_names_the_keys_that_a_link_does_not_follow(bus: Callable[..., Any]) -> None:
    assert differing(RIGHT, bus()) == []
    assert differing(RIGHT, bus(bitrate=250_000, listen_only=True)) == ["listen_only", "bitrate"]
    assert differing(VCAN, bus(bitrate=250_000)) == []


CLOCK = "its clock can make; ip -d link show can0 shows its limits."
NO_RESTART_MS = "Remove restart_ms: cancorderd then restarts a link that is bus-off."
REFUSALS: list[tuple[LinkChange, int, dict[str, Any], type[Exception], str]] = [
    (nominal(1), errno.EDOM, {}, SettingsRefused,
     f"can0 does not accept bitrate = 500000 (text). Write a bitrate that {CLOCK}"),
    (nominal(1), errno.EINVAL, {"sample_point": 0.8}, SettingsRefused,
     f"can0 does not accept bitrate = 500000 and sample_point = 0.8 (text). Write a bitrate that {CLOCK}"),
    (mode("listen_only"), errno.EOPNOTSUPP, {"listen_only": True}, SettingsRefused,
     "can0 does not accept listen_only = true (text). Change listen_only, or use another adapter."),
    (data("fd", 1), errno.EOPNOTSUPP, FD, SettingsRefused,
     "can0 does not accept fd = true and data_bitrate = 2000000 (text). Change fd, or use another adapter."),
    (data("fd", 1), errno.ERANGE, FD, SettingsRefused,
     f"can0 does not accept data_bitrate = 2000000 (text). Write a data_bitrate that {CLOCK}"),
    (mode("fd"), errno.EOPNOTSUPP, {}, SettingsRefused,
     "can0 does not accept fd = false (text). Change fd, or use another adapter."),
    (LinkChange("restart_ms"), errno.EOPNOTSUPP, {"restart_ms": 5}, SettingsRefused,
     f"can0 does not accept restart_ms = 5 (text). {NO_RESTART_MS}"),
    (UP, errno.EINVAL, {}, SettingsRefused,
     "can0 cannot be brought up with these settings (text). Check bitrate and data_bitrate; dmesg may say more."),
    (UP, errno.ENODEV, {}, AdapterAbsent, "interface can0 went away while it was set up."),
    (UP, errno.EIO, {}, BusError, "can0 could not be set up: text."),
    (nominal(1), errno.EBUSY, {}, BusError, "can0 could not be set up: text."),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case[4][:40])
def test_refusals(
    bus: Callable[..., Any], case: tuple[LinkChange, int, dict[str, Any], type[Exception], str]
) -> None:
    change, code, keys, kind, reason = case
    failure = refusal_failure(RIGHT, bus(**keys), change, OSError(code, "text"))
    assert (type(failure), str(failure)) == (kind, reason)


def test_refused_bitrate_names_the_only_bitrates_of_the_driver(bus: Callable[..., Any]) -> None:
    link = RIGHT._replace(bitrates=(100_000, 500_000))
    refusal = OSError(errno.EINVAL, "Invalid argument")
    failure = refusal_failure(link, bus(bitrate=83_333), nominal(83_333), refusal)
    assert (
        str(failure) == "can0 does not accept bitrate = 83333 (Invalid argument). It accepts 100000, 500000."
    )


@pytest.mark.parametrize(
    ("link", "keys", "command"),
    [
        (RIGHT, {}, "ip link set can0 up type can bitrate 500000"),
        (
            RIGHT,
            {"fd": True, "data_bitrate": 2_000_000},
            "ip link set can0 up type can bitrate 500000 dbitrate 2000000 fd on",
        ),
        (VCAN, {}, "ip link set can0 up"),
        (VCAN._replace(mtu=16), {"fd": True}, "ip link set can0 up mtu 72"),
        (VCAN._replace(mtu=72), {"fd": True}, "ip link set can0 up"),
    ],
)
def test_command_that_sets_a_link_up(
    bus: Callable[..., Any], link: Link, keys: dict[str, Any], command: str
) -> None:
    assert up_command(link, bus(**keys)) == command


def test_missing_permission_names_the_remedies(bus: Callable[..., Any]) -> None:
    failure = refusal_failure(RIGHT, bus(), DOWN, OSError(errno.EPERM, "Operation not permitted"))
    assert isinstance(failure, SettingsRefused)
    assert str(failure) == (
        f"no permission to set up can0 as user id {os.geteuid()}: CAP_NET_ADMIN is missing. "
        "Give it to the service (AmbientCapabilities=CAP_NET_ADMIN in a drop-in of the unit), run the daemon as root, "
        "or write configure = false and set the link up yourself: ip link set can0 up type can bitrate 500000"
    )
    failure = refusal_failure(VCAN, bus(), UP, OSError(errno.EPERM, ""))
    assert str(failure).endswith("yourself: ip link set can0 up")


PASSIVE = Link(
    2, "can0", True, True, True, 16, "can", 3, 7, "error-passive",
    LinkTiming(500_000, 0.875, 16), None, False, False, 0, (0, 128),
)  # fmt: skip


def test_details_of_a_controller(make_settings: Callable[..., Any]) -> None:
    assert link_details(PASSIVE, make_settings("socketcan", channel="can0")) == {
        "link": "up",
        "bitrate": "500000, sample point 0.875",
        "errors": "transmit 0, receive 128",
        "overruns": "7",
        "dropped": "3",
    }


def test_details_of_modes_and_of_keys_that_differ(make_settings: Callable[..., Any]) -> None:
    link = PASSIVE._replace(
        running=False, fd=True, listen_only=True, restart_ms=100, data_bittiming=LinkTiming(2_000_000, 0.0, 0)
    )
    shown = link_details(link, make_settings("socketcan", channel="can0", bitrate=250_000))
    assert shown["link"] == "up, no carrier"
    assert shown["data_bitrate"] == "2000000"
    assert shown["listen_only"] == "true"
    assert shown["restart_ms"] == "100"
    assert shown["differs"] == "listen_only, bitrate, fd"


def test_details_of_a_link_whose_can_xl_frames_are_not_received(make_settings: Callable[..., Any]) -> None:
    settings = make_settings("socketcan", channel="can0")
    assert link_details(RIGHT_FD._replace(mtu=2060), settings)["xl"].startswith("the link carries CAN XL")
    assert "xl" not in link_details(RIGHT_FD, settings)


def test_details_of_a_virtual_link(make_settings: Callable[..., Any]) -> None:
    vcan = Link(3, "vcan0", True, True, True, 72, "vcan")
    shown = link_details(vcan, make_settings("socketcan", channel="vcan0"))
    assert shown == {"link": "up", "overruns": "0", "dropped": "0"}


@pytest.mark.parametrize(
    ("restart_ms", "keys", "remedy"),
    [
        (0, {}, "Then restart it: ip link set can0 down; ip link set can0 up. With configure = true"),
        (None, {}, "Then restart it"),
        (500, {}, "It has not restarted by itself: ip link set can0 down; ip link set can0 up"),
        (0, {"configure": True}, "It is restarted."),
        (500, {"configure": True, "restart_ms": 500}, "It is restarted."),
    ],
)
def test_reason_of_a_link_that_is_bus_off(
    make_settings: Callable[..., Any], restart_ms: int | None, keys: dict[str, Any], remedy: str
) -> None:
    link = PASSIVE._replace(controller="bus-off", restart_ms=restart_ms)
    reason = link_bus_off_reason(link, make_settings("socketcan", channel="can0", **keys))
    assert reason.startswith("can0 is bus-off. Check bitrate, wiring and termination. ")
    assert remedy in reason
