"""socketcan when its interface goes down or away: the bus tells why, comes back, and keeps its clients."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest.interfaces import add_vcan, ip
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUS = """
[bus.body]
interface = "socketcan"
channel = "vcan0"
"""
RECOVERY_S = 2.0
"""From the interface's return to the first frame at the client (acceptance of the first release)."""


def down() -> None:
    ip("link set vcan0 down")


def up() -> None:
    ip("link set vcan0 up")


def remove() -> None:
    ip("link del vcan0")


def add() -> None:
    add_vcan("vcan0")


OUTAGES = pytest.mark.parametrize(
    ("take_away", "bring_back", "reason"),
    [
        pytest.param(down, up, "interface vcan0 is down", id="down"),
        pytest.param(remove, add, "no interface vcan0", id="removed"),
    ],
)


def flows_again(client: Client, since_s: float) -> None:
    """The client is still connected, and new frames come in time."""
    arrival_s = poll(lambda: client.first_arrival_after(since_s), what="frames after the return")
    assert arrival_s
    assert arrival_s - since_s <= RECOVERY_S
    assert not client.ended
    assert client.error is None
    numbers = [number(frame) for frame in client.frames]
    assert numbers == sorted(set(numbers)), "the stream is not whole packets in order"


@OUTAGES
def test_an_interface_that_was_away_serves_the_same_clients_again(
    tmp_path: Path, vcan0: str, take_away: Callable[[], None], bring_back: Callable[[], None], reason: str
) -> None:
    with Daemon(tmp_path, BUS) as daemon, Traffic(vcan0), Client(daemon.wait_port("body")) as client:
        client.wait_frames(10)
        take_away()
        bus = daemon.wait_state("body", "backoff", "waiting")
        assert bus["reason"]
        bus = daemon.wait_state("body", "waiting")
        assert reason in bus["reason"]
        assert "vcan0" in bus["last_error"]
        assert len(bus["clients"]) == 1
        bring_back()
        flows_again(client, time.time())
        assert daemon.wait_state("body", "running")["reason"] == ""


@pytest.mark.parametrize(
    ("take_away", "bring_back"), [pytest.param(down, up, id="down"), pytest.param(remove, add, id="removed")]
)
def test_an_interface_that_is_back_at_once_serves_the_same_clients_again(
    tmp_path: Path, vcan0: str, take_away: Callable[[], None], bring_back: Callable[[], None]
) -> None:
    with Daemon(tmp_path, BUS) as daemon, Traffic(vcan0), Client(daemon.wait_port("body")) as client:
        client.wait_frames(10)
        take_away()
        bring_back()
        flows_again(client, time.time())
        bus = daemon.wait_state("body", "running")
        assert bus["restarts"] == 1
        assert vcan0 in bus["last_error"]
