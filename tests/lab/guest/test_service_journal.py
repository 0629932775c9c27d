"""The service in systemctl status and journalctl."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.lab.guest.service import UNIT, Service, run, systemctl
from tests.support.harness import free_port, poll

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


def test_systemctl_status_shows_the_states_of_buses(service: Service) -> None:
    poll(lambda: service.status_text == LINE, what="the status line")
    assert f'Status: "{LINE}"' in systemctl("status", UNIT).stdout


def test_neither_an_absent_adapter_nor_a_used_port_delays_the_start(installed: None, vcan0: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        with Service(f"{BUSES}port = {port}\n") as running:
            assert running.show("ActiveState")["ActiveState"] == "active"
            line = f"1 of 2 buses running; body: failed: port {port} is in use by another program"
            poll(lambda: running.status_text == line, what=line)


def test_journalctl_shows_a_single_bus(service: Service) -> None:
    found = poll(lambda: records(service, "CANCORDER_BUS=body"), what="a line about body")
    assert [record["MESSAGE"] for record in found] == [
        "body: waiting: /dev/ttyACM7 does not exist. Plug the adapter in, or correct channel."
    ]
    (record,) = found
    assert record["CANCORDER_STATE"] == "waiting"
    assert record["PRIORITY"] == WARNING
    assert record["SYSLOG_IDENTIFIER"] == "cancorderd"
    assert record["_SYSTEMD_UNIT"] == UNIT
    lines = poll(lambda: records(service, "CANCORDER_BUS=powertrain"), what="a line about powertrain")
    assert [line["CANCORDER_STATE"] for line in lines] == ["running"]


def test_repeated_messages_are_summed_up(service: Service) -> None:
    for _ in range(8):  # five are logged as they come
        run("cancorderctl", "restart", "powertrain")
    first_and_sums = poll(
        lambda: [record["MESSAGE"] for record in records(service, "CANCORDER_BUS=powertrain") if "more times in" in record["MESSAGE"]],
        60, "a sum",
    )  # fmt: skip
    assert any("running (" in message for message in first_and_sums)


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
