"""A socket unit opens the port of a bus, as packaging/systemd/cancorderd.socket.example has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.guest.service import UNIT, UNITS, Prober, Service, run, systemctl
from tests.support.harness import ROOT, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET = "cancorderd-powertrain.socket"
PORT = 42477
MOCK = '[bus.powertrain]\ninterface = "mock"\nstart = "always"\nspeed = 20\n'


@pytest.fixture
def service(installed: None) -> Iterator[Service]:
    example = (ROOT / "packaging/systemd/cancorderd.socket.example").read_text()
    (UNITS / SOCKET).write_text(example.replace("42420", str(PORT)))
    systemctl("daemon-reload")
    systemctl("start", SOCKET)
    service = Service(MOCK)
    try:
        yield service
    finally:
        systemctl("stop", SOCKET)
        service.__exit__()
        (UNITS / SOCKET).unlink()
        systemctl("daemon-reload")


def test_a_client_starts_the_service_and_gets_frames(service: Service) -> None:
    assert service.pid == 0
    with Client(PORT) as client, Client(PORT, host="::1") as other:
        client.wait_frames(1)
        other.wait_frames(1)
    assert service.buses()["powertrain"]["port"] == PORT
    assert service.show("NFileDescriptorStore")["NFileDescriptorStore"] == "0", "systemd has them already"


def test_stop_and_start_of_the_bus_and_a_restart_of_the_service(service: Service) -> None:
    systemctl("start", UNIT)
    service.wait_state("powertrain", "running")
    with Prober(PORT) as prober:
        for verb in ("stop", "start"):
            run("cancorderctl", verb, "powertrain")
        systemctl("restart", UNIT)
        service.wait_state("powertrain", "running")
    assert not prober.failures
    with Client(PORT) as client:
        client.wait_frames(1)
