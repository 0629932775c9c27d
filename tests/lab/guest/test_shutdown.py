"""SIGTERM ends everything in order and in time; no worker outlives a killed supervisor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import avahi
from tests.lab.guest.interfaces import network
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, Daemon, alive, poll

if TYPE_CHECKING:
    from pathlib import Path

BUSES = """
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
[bus.absent]
interface = "socketcan"
channel = "can7"
[bus.bench]
interface = "mock"
"""
NOT_RUNNING = 7
"""Exit status of cancorderctl if no daemon answers."""
TERMINATION_S = 3.0
ORPHANED_S = 5.0
FAREWELL_S = 5.0
"""A withdrawn record is forgotten after one second (RFC 6762, 10.1)."""


@pytest.mark.usefixtures("fresh_avahi")
def test_sigterm_ends_every_process_and_every_record_in_time(tmp_path: Path, vcan0: str) -> None:
    with (
        network("lan0", "192.168.77.1/24", "fd00:77::1/64"),
        Daemon(tmp_path, BUSES, zeroconf=True) as daemon,
        Traffic(vcan0),
        Client(daemon.wait_port("powertrain")) as client,
    ):
        client.wait_frames(1)
        poll(lambda: len({record.port for record in avahi.browse()}) == 3, what="three buses are announced")
        workers = [worker.pid for worker in daemon.workers()]
        assert len(workers) == 3
        start_s = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - start_s <= TERMINATION_S
        assert not [worker for worker in workers if alive(worker)]
        poll(lambda: client.ended, what="the client is disconnected")
        assert client.error is None
        assert client.decoder.pending == 0, "the stream ends within a packet"
        assert daemon.ctl("status").returncode == NOT_RUNNING
        poll(lambda: not avahi.browse(), FAREWELL_S, "the records are gone")


def test_killed_supervisor_leaves_no_worker(tmp_path: Path, vcan0: str) -> None:
    with Daemon(tmp_path, BUSES) as daemon, Traffic(vcan0):
        daemon.wait_state("powertrain", "running")
        daemon.wait_state("absent", "waiting")
        daemon.wait_state("bench", "running")
        workers = [worker.pid for worker in daemon.workers()]
        assert len(workers) == 3
        daemon.kill()
        poll(lambda: not any(map(alive, workers)), ORPHANED_S, "no worker is left")
