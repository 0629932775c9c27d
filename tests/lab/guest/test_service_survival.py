"""A supervisor that hangs, is killed or is restarted returns, and no connection is refused meanwhile."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest.service import UNIT, Prober, Service, systemctl
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, alive, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSES = """
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
[bus.absent]
interface = "socketcan"
channel = "can7"
port = 42500
"""
WATCHDOG_S = 10.0
FROZEN_S = 5.0
BACK_S = 20.0
"""Seconds from its end until it is up again: the machine needs 4 s to load Python, and far more if its host is busy."""


@pytest.fixture
def service(installed: None, vcan0: str) -> Iterator[Service]:
    with Service(BUSES) as running:
        running.wait_state("powertrain", "running")
        running.wait_state("absent", "waiting")
        yield running


@pytest.fixture
def probers(service: Service) -> Iterator[list[Prober]]:
    port = int(service.buses()["powertrain"]["port"])
    with ExitStack() as stack:
        places = [(port, "127.0.0.1"), (port, "::1"), (42500, "127.0.0.1")]
        yield [stack.enter_context(Prober(*place)) for place in places]


def assert_served(service: Service, probers: list[Prober], before: dict[str, dict[str, object]]) -> None:
    """Assert that the buses are as before, and that no client was refused."""
    service.wait_state("powertrain", "running")
    after = service.buses()
    assert {name: bus["port"] for name, bus in after.items()} == {
        name: bus["port"] for name, bus in before.items()
    }
    for prober in probers:
        before_s = prober.connected
        poll(lambda prober=prober, seen=before_s: prober.connected > seen, what="another connection")  # type: ignore[misc]
        assert not prober.failures
    with Traffic("vcan0"), Client(int(after["powertrain"]["port"])) as client:
        client.wait_frames(10)


def test_hanging_supervisor_is_restarted_by_the_watchdog(service: Service, probers: list[Prober]) -> None:
    before, pid = service.buses(), service.pid
    os.kill(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    poll(lambda: service.show("ActiveState")["ActiveState"] != "active", what="the watchdog acts")
    assert time.monotonic() - stopped_s <= busy_limit_s(WATCHDOG_S + 5)
    service.wait_active(pid, BACK_S)
    assert_served(service, probers, before)
    assert "Watchdog timeout" in service.journal()


def test_killed_supervisor_is_restarted(service: Service, probers: list[Prober]) -> None:
    before, pid = service.buses(), service.pid
    workers = [int(bus["pid"]) for bus in before.values()]
    os.kill(pid, signal.SIGKILL)
    service.wait_active(pid, BACK_S)
    assert not any(map(alive, workers))
    assert_served(service, probers, before)


def test_systemctl_restart(service: Service, probers: list[Prober]) -> None:
    before, pid = service.buses(), service.pid
    systemctl("restart", UNIT)
    assert service.pid != pid
    assert_served(service, probers, before)


def test_responsive_supervisor_is_left_alone(service: Service) -> None:
    pid = service.pid
    time.sleep(WATCHDOG_S + 3)
    assert service.pid == pid
    assert service.show("NRestarts")["NRestarts"] == "0"


def test_removed_or_moved_bus_releases_its_port(service: Service) -> None:
    def stored() -> int:
        return int(service.show("NFileDescriptorStore")["NFileDescriptorStore"])

    poll(lambda: stored() == 4, what="two sockets of each bus")
    service.write(BUSES.replace("42500", "42501"))
    systemctl("reload", UNIT)
    assert service.buses()["absent"]["port"] == 42501
    with pytest.raises(ConnectionRefusedError):
        Client(42500)
    Client(42501).close()
    service.write(BUSES.partition("[bus.absent]")[0])
    systemctl("reload", UNIT)
    poll(lambda: stored() == 2, what="the sockets of the removed bus are released")
    with pytest.raises(ConnectionRefusedError):
        Client(42501)
    service.write(BUSES.replace("bus.absent", "bus.other"))
    systemctl("restart", UNIT)
    assert service.wait_state("other", "waiting")["port"] == 42500


def test_frozen_service_goes_on_when_it_is_thawed(service: Service, probers: list[Prober]) -> None:
    before, pid = service.buses(), service.pid
    systemctl("freeze", UNIT)
    frozen_s = time.monotonic()
    poll(lambda: time.monotonic() > frozen_s + FROZEN_S, what="a standstill")
    systemctl("thaw", UNIT)
    assert_served(service, probers, before)
    after = service.buses()
    assert service.pid == pid
    assert {name: (bus["pid"], bus["restarts"]) for name, bus in after.items()} == {
        name: (bus["pid"], bus["restarts"]) for name, bus in before.items()
    }
