"""What is changed on a link, in which order, and what is said where the kernel refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.sources.can_link_messages import Bittiming, Link
from cancorderd.sources.can_link_settings import Step, differing, failure, steps

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT = Link(
    2, "can0", True, True, True, 16, "can", 0, 0, "error-active",
    Bittiming(500_000, 0.875, 16), None, False, False, 0, (0, 0),
)  # fmt: skip
RIGHT_FD = RIGHT._replace(mtu=72, fd=True, data_bittiming=Bittiming(2_000_000, 0.75, 24))
VCAN = Link(3, "can0", True, True, True, 16, "vcan")
FD = {"fd": True, "data_bitrate": 2_000_000}
TIMING = {"bitrate": 500_000, "sample_point": 0}
DOWN, UP = Step("", up=False), Step("", up=True)


def mode(key: str, **modes: str) -> Step:
    return Step(key, can={"IFLA_CAN_CTRLMODE": modes})


def nominal(bitrate: int, sample_point: int = 0) -> Step:
    return Step("bitrate", can={"IFLA_CAN_BITTIMING": {"bitrate": bitrate, "sample_point": sample_point}})


def data(key: str, rate: int) -> Step:
    return Step(
        key,
        can={
            "IFLA_CAN_CTRLMODE": {"fd": "on"},
            "IFLA_CAN_BITTIMING": TIMING,
            "IFLA_CAN_DATA_BITTIMING": {"bitrate": rate, "sample_point": 0},
        },
    )


CASES: dict[str, tuple[Link, dict[str, Any], list[Step]]] = {
    "right": (RIGHT, {}, []),
    "right with FD": (RIGHT_FD, FD, []),
    "right but down": (RIGHT._replace(up=False), {}, [UP]),
    "right but bus-off": (RIGHT._replace(controller="bus-off"), {}, [DOWN, UP]),
    "restart_ms of its own is left": (RIGHT._replace(restart_ms=100), {}, []),
    "never configured": (
        RIGHT._replace(up=False, bittiming=None, controller="stopped"), {}, [nominal(500_000), UP],
    ),
    "another bitrate": (RIGHT, {"bitrate": 250_000}, [DOWN, nominal(250_000), UP]),
    "what the clock can make of 83333": (
        RIGHT._replace(bittiming=Bittiming(83_160, 0.875, 16)), {"bitrate": 83_333}, [],
    ),
    "a rate beside it": (
        RIGHT._replace(bittiming=Bittiming(82_500, 0.875, 16)), {"bitrate": 83_333}, [DOWN, nominal(83_333), UP],
    ),
    # Asked for 0.8 of 16 quanta, the kernel takes 0.75.
    "the quantum ahead of the sample point": (
        RIGHT._replace(bittiming=Bittiming(500_000, 0.75, 16)), {"sample_point": 0.8}, [],
    ),
    "another sample point": (RIGHT, {"sample_point": 0.8}, [DOWN, nominal(500_000, 800), UP]),
    "a driver that tells no sample point": (
        RIGHT._replace(bittiming=Bittiming(500_000, 0.0, 0)), {"sample_point": 0.8}, [],
    ),
    "listen_only on": (RIGHT, {"listen_only": True}, [DOWN, mode("listen_only", listenonly="on"), UP]),
    "listen_only off": (
        RIGHT._replace(listen_only=True), {}, [DOWN, mode("listen_only", listenonly="off"), UP],
    ),
    "fd on": (RIGHT, FD, [DOWN, data("fd", 2_000_000), UP]),
    "fd on, one rate for all": (RIGHT, {"fd": True}, [DOWN, data("fd", 500_000), UP]),
    "another data rate": (
        RIGHT_FD, {**FD, "data_bitrate": 4_000_000}, [DOWN, data("data_bitrate", 4_000_000), UP],
    ),
    "fd off": (RIGHT_FD, {}, [DOWN, mode("fd", fd="off"), UP]),
    "restart_ms": (
        RIGHT, {"restart_ms": 100}, [DOWN, Step("restart_ms", can={"IFLA_CAN_RESTART_MS": 100}), UP],
    ),
    "restart_ms off": (
        RIGHT._replace(restart_ms=100), {"restart_ms": 0},
        [DOWN, Step("restart_ms", can={"IFLA_CAN_RESTART_MS": 0}), UP],
    ),
    "everything": (
        RIGHT._replace(up=False, bittiming=None),
        {**FD, "bitrate": 500_000, "listen_only": True, "restart_ms": 5},
        [
            mode("listen_only", listenonly="on"), nominal(500_000), data("fd", 2_000_000),
            Step("restart_ms", can={"IFLA_CAN_RESTART_MS": 5}), UP,
        ],
    ),
    "vcan": (VCAN, {"bitrate": 250_000, "listen_only": True}, []),
    "vcan down": (VCAN._replace(up=False), {"restart_ms": 100}, [UP]),
    "vcan with FD": (VCAN, FD, [DOWN, Step("fd", mtu=72), UP]),
    "vcan that has it": (VCAN._replace(mtu=72), FD, []),
    "vcan with more than it needs": (VCAN._replace(mtu=72), {}, []),
}  # fmt: skip


@pytest.fixture
def bus(section: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **keys: section("socketcan", channel="can0", configure=True, **keys)


@pytest.mark.parametrize(("link", "keys", "expected"), CASES.values(), ids=CASES)
def test_steps(bus: Callable[..., Any], link: Link, keys: dict[str, Any], expected: list[Step]) -> None:
    assert steps(link, bus(**keys)) == expected


def test_differing_names_keys_without_going_near_the_link(bus: Callable[..., Any]) -> None:
    assert differing(RIGHT, bus()) == []
    assert differing(RIGHT, bus(bitrate=250_000, listen_only=True)) == ["listen_only", "bitrate"]
    assert differing(VCAN, bus(bitrate=250_000)) == []


CLOCK = "its clock can make; ip -d link show can0 tells what it takes."
BY_US = "Remove restart_ms: a link that is bus-off is then restarted by cancorderd."
REFUSALS: list[tuple[Step, int, dict[str, Any], type[Exception], str]] = [
    (nominal(1), errno.EDOM, {}, SettingsRefused,
     f"can0 does not take bitrate = 500000 (said). Write a bitrate that {CLOCK}"),
    (nominal(1), errno.EINVAL, {"sample_point": 0.8}, SettingsRefused,
     f"can0 does not take bitrate = 500000 and sample_point = 0.8 (said). Write a bitrate that {CLOCK}"),
    (mode("listen_only"), errno.EOPNOTSUPP, {"listen_only": True}, SettingsRefused,
     "can0 does not take listen_only = true (said). Change listen_only, or use another adapter."),
    (data("fd", 1), errno.EOPNOTSUPP, FD, SettingsRefused,
     "can0 does not take fd = true and data_bitrate = 2000000 (said). Change fd, or use another adapter."),
    (data("fd", 1), errno.ERANGE, FD, SettingsRefused,
     f"can0 does not take data_bitrate = 2000000 (said). Write a data_bitrate that {CLOCK}"),
    (mode("fd"), errno.EOPNOTSUPP, {}, SettingsRefused,
     "can0 does not take fd = false (said). Change fd, or use another adapter."),
    (Step("restart_ms"), errno.EOPNOTSUPP, {"restart_ms": 5}, SettingsRefused,
     f"can0 does not take restart_ms = 5 (said). {BY_US}"),
    (UP, errno.EINVAL, {}, SettingsRefused,
     "can0 cannot be brought up with these settings (said). Check bitrate and data_bitrate; dmesg may tell more."),
    (UP, errno.ENODEV, {}, AdapterAbsent, "interface can0 went away while it was set up."),
    (UP, errno.EIO, {}, BusError, "can0 could not be set up: said."),
    (nominal(1), errno.EBUSY, {}, BusError, "can0 could not be set up: said."),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case[4][:40])
def test_what_is_said_where_the_kernel_refuses(
    bus: Callable[..., Any], case: tuple[Step, int, dict[str, Any], type[Exception], str]
) -> None:
    step, code, keys, kind, text = case
    said = failure(RIGHT, bus(**keys), step, OSError(code, "said"))
    assert (type(said), str(said)) == (kind, text)


def test_the_only_bitrates_of_a_driver_are_named(bus: Callable[..., Any]) -> None:
    link = RIGHT._replace(bitrates=(100_000, 500_000))
    said = failure(link, bus(bitrate=83_333), nominal(83_333), OSError(errno.EINVAL, "Invalid argument"))
    assert str(said) == "can0 does not take bitrate = 83333 (Invalid argument). It takes 100000, 500000."


def test_a_missing_permission_names_the_ways_out(bus: Callable[..., Any]) -> None:
    said = failure(RIGHT, bus(), DOWN, OSError(errno.EPERM, "Operation not permitted"))
    assert isinstance(said, SettingsRefused)
    assert str(said) == (
        f"no permission to set up can0 as user id {os.geteuid()}: that takes CAP_NET_ADMIN. "
        "Give it to the service (AmbientCapabilities=CAP_NET_ADMIN in a drop-in of the unit), run the daemon as root, "
        "or write configure = false and set the link up yourself: ip link set can0 up type can bitrate 500000"
    )
    assert str(failure(VCAN, bus(), UP, OSError(errno.EPERM, ""))).endswith("yourself: ip link set can0 up")
