"""A supervisor that hangs, is killed or is restarted: it comes back, and no port is ever refused."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.harness import Client, alive, poll
from tests.lab.guest.numbered import Traffic
from tests.lab.guest.service import UNIT, Prober, Service, systemctl

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
BACK_S = 20.0
"""From its end until it is up again: the machine needs 4 s to load Python, and much longer while its host is busy."""


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
    """Everything is as before, and no client was ever turned away."""
    service.wait_state("powertrain", "running")
    after = service.buses()
    assert {name: bus["port"] for name, bus in after.items()} == {
        name: bus["port"] for name, bus in before.items()
    }
    for one in probers:
        seen = one.connected
        poll(lambda one=one, seen=seen: one.connected > seen, what="clients go on to connect")  # type: ignore[misc]
        assert not one.failures
    with Traffic("vcan0"), Client(int(after["powertrain"]["port"])) as client:
        client.wait_frames(10)


def test_a_supervisor_that_hangs_is_restarted_by_the_watchdog(
    service: Service, probers: list[Prober]
) -> None:
    before, pid = service.buses(), service.pid
    os.kill(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    poll(lambda: service.show("ActiveState")["ActiveState"] != "active", WATCHDOG_S + 1, "the watchdog bites")
    assert time.monotonic() - stopped_s <= WATCHDOG_S + 0.5
    service.wait_active(pid, BACK_S)
    assert_served(service, probers, before)
    assert "Watchdog timeout" in service.journal()


def test_a_supervisor_that_is_killed_comes_back(service: Service, probers: list[Prober]) -> None:
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


def test_it_is_left_alone_while_it_lives(service: Service) -> None:
    pid = service.pid
    time.sleep(WATCHDOG_S + 3)
    assert service.pid == pid
    assert service.show("NRestarts")["NRestarts"] == "0"


def test_a_bus_that_goes_or_moves_gives_its_port_back(service: Service) -> None:
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
    poll(lambda: stored() == 2, what="the bus that went is no longer stored")
    with pytest.raises(ConnectionRefusedError):
        Client(42501)
    service.write(BUSES.replace("bus.absent", "bus.other"))
    systemctl("restart", UNIT)
    assert service.wait_state("other", "waiting")["port"] == 42500
