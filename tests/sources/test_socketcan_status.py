"""What `status` tells of a link, and what is said of one that is bus-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.sources.can_link_messages import Bittiming, Link
from cancorderd.sources.socketcan_status import bus_off_reason, details

if TYPE_CHECKING:
    from collections.abc import Callable

CAN = Link(
    2, "can0", True, True, True, 16, "can", 3, 7, "error-passive",
    Bittiming(500_000, 0.875, 16), None, False, False, 0, (0, 128),
)  # fmt: skip


def test_a_controller_is_shown_with_its_counters(section: Callable[..., Any]) -> None:
    assert details(CAN, section("socketcan", channel="can0")) == {
        "link": "up",
        "bitrate": "500000, sample point 0.875",
        "errors": "transmit 0, receive 128",
        "overruns": "7",
        "dropped": "3",
    }


def test_what_a_link_has_beyond_that_and_what_differs_is_shown_too(section: Callable[..., Any]) -> None:
    link = CAN._replace(
        running=False, fd=True, listen_only=True, restart_ms=100, data_bittiming=Bittiming(2_000_000, 0.0, 0)
    )
    shown = details(link, section("socketcan", channel="can0", bitrate=250_000))
    assert shown["link"] == "up, no carrier"
    assert shown["data_bitrate"] == "2000000"
    assert shown["listen_only"] == "true"
    assert shown["restart_ms"] == "100"
    assert shown["differs"] == "listen_only, bitrate, fd"


def test_a_virtual_link_shows_what_it_has(section: Callable[..., Any]) -> None:
    vcan = Link(3, "vcan0", True, True, True, 72, "vcan")
    shown = details(vcan, section("socketcan", channel="vcan0"))
    assert shown == {"link": "up", "overruns": "0", "dropped": "0"}


@pytest.mark.parametrize(
    ("restart_ms", "keys", "words"),
    [
        (0, {}, "Then restart it: ip link set can0 down; ip link set can0 up. With configure = true"),
        (None, {}, "Then restart it"),
        (500, {}, "It has not restarted by itself: ip link set can0 down; ip link set can0 up"),
        (0, {"configure": True}, "It is restarted."),
        (500, {"configure": True, "restart_ms": 500}, "It is restarted."),
    ],
)
def test_bus_off_is_told_with_what_to_do_about_it(
    section: Callable[..., Any], restart_ms: int | None, keys: dict[str, Any], words: str
) -> None:
    link = CAN._replace(controller="bus-off", restart_ms=restart_ms)
    reason = bus_off_reason(link, section("socketcan", channel="can0", **keys))
    assert reason.startswith("can0 is bus-off. Check bitrate, wiring and termination. ")
    assert words in reason
