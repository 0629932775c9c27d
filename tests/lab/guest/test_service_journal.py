"""What systemctl status and journalctl show."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.harness import free_port, poll
from tests.lab.guest.service import UNIT, Service, run, systemctl

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSES = """
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
[bus.body]
interface = "slcan"
channel = "/dev/ttyACM7"
"""
LINE = "1 of 2 buses running; body: waiting: /dev/ttyACM7 does not exist"
WARNING = "4"


@pytest.fixture
def service(installed: None, vcan0: str) -> Iterator[Service]:
    with Service(BUSES) as running:
        running.wait_state("powertrain", "running")
        running.wait_state("body", "waiting")
        yield running


def records(service: Service, *matches: str) -> list[dict[str, Any]]:
    run("journalctl", "--sync")
    lines = run("journalctl", "-o", "json", f"--since=@{service.since:.0f}", *matches).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_systemctl_status_shows_our_line(service: Service) -> None:
    poll(lambda: service.status_text == LINE, what="the line is there")
    assert f'Status: "{LINE}"' in systemctl("status", UNIT).stdout


def test_an_absent_adapter_does_not_hold_the_start_up_and_a_taken_port_neither(
    installed: None, vcan0: str
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        with Service(f"{BUSES}port = {port}\n") as running:
            assert running.show("ActiveState")["ActiveState"] == "active"
            line = f"1 of 2 buses running; body: failed: port {port} is in use by another program"
            poll(lambda: running.status_text == line, what=line)


def test_journalctl_shows_one_bus_alone(service: Service) -> None:
    found = records(service, "CANCORDER_BUS=body")
    assert [one["MESSAGE"] for one in found] == [
        "body: waiting: /dev/ttyACM7 does not exist. Plug the adapter in, or correct channel."
    ]
    (one,) = found
    assert one["CANCORDER_STATE"] == "waiting"
    assert one["PRIORITY"] == WARNING
    assert one["SYSLOG_IDENTIFIER"] == "cancorderd"
    assert one["_SYSTEMD_UNIT"] == UNIT
    states = [one["CANCORDER_STATE"] for one in records(service, "CANCORDER_BUS=powertrain")]
    assert states == ["running"]


def test_what_repeats_itself_is_summed_up(service: Service) -> None:
    for _ in range(5):
        run("cancorderctl", "restart", "powertrain")
    first_and_sums = poll(
        lambda: [one["MESSAGE"] for one in records(service, "CANCORDER_BUS=powertrain") if "times in" in one["MESSAGE"]],
        30, "a sum",
    )  # fmt: skip
    assert any("running (" in one for one in first_and_sums)


def test_workers_know_nothing_of_the_service_manager(service: Service) -> None:
    workers = psutil.Process(service.pid).children()
    assert len(workers) == 2
    for worker in workers:
        environment = Path(f"/proc/{worker.pid}/environ").read_text()
        assert not [one for one in ("NOTIFY_", "WATCHDOG_", "LISTEN_") if one in environment]
        sockets = [
            os.readlink(f"/proc/{worker.pid}/fd/{one}") for one in os.listdir(f"/proc/{worker.pid}/fd")
        ]
        assert not any("notify" in one for one in sockets)
