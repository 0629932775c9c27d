"""Drills of the supervisor under systemd: killed, stopped, frozen by its cgroup, and stopped in the middle of a reload."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.faults import table
from tests.faults.account import Account
from tests.faults.drill import Result, Row
from tests.faults.viewer import Viewer
from tests.lab.guest.service import UNIT, Service, systemctl
from tests.lab.guest.traffic import SocketcanSender
from tests.support.harness import poll
from tests.support.numbered_frames import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

RATE = 50
"""Frames per second: the machine's processor is slow."""
BUSES = '[bus.car]\ninterface = "socketcan"\nchannel = "vcan0"\nport = 42440\n'
MORE = '[bus.more]\ninterface = "mock"\n'
FROZEN_S = 6.0
"""Shorter than the watchdog of the service, which ends a service that is frozen for longer."""


@contextmanager
def served() -> Iterator[tuple[Service, Viewer, Sender]]:
    with Service(BUSES) as service:
        service.wait_state("car", "running")
        with Viewer(42440) as viewer:
            poll(lambda: service.buses()["car"]["clients"], what="the viewer is connected")
            with SocketcanSender("vcan0") as can, Sender(can.send, RATE) as sender:
                wait_flow(viewer, sender)
                yield service, viewer, sender


def wait_flow(viewer: Viewer, sender: Sender) -> None:
    mark = sender.sent
    poll(lambda: viewer.last >= mark, what="a new frame")


def show(name: str, breaks: str, row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the row, and fail if a promise did not hold."""
    row.note = f"{RATE} frames/s, since the machine is slow" + row.note
    with capsys.disabled():
        print("\n" + table.HEAD + "\n" + table.line(Result(f"supervisor:{name}", breaks, row).as_json()))
    assert not row.failures


def test_cgroup_is_frozen_and_thawed(installed: None, vcan0: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = Row(times=1)
    with served() as (service, viewer, sender):
        pid, worker = service.pid, service.buses()["car"]["pid"]
        systemctl("freeze", UNIT)
        end_s = time.monotonic() + FROZEN_S
        poll(lambda: time.monotonic() >= end_s, what="the time of the frost")
        systemctl("thaw", UNIT)
        thawed_s = time.monotonic()
        wait_flow(viewer, sender)
        row.recoveries_s.append(time.monotonic() - thawed_s)
        sent = sender.stop()
        poll(lambda: viewer.last == sent - 1, what="the last frame")
        row.expect(service.pid == pid, "the service was restarted")
        row.expect(service.buses()["car"]["pid"] == worker, "the worker was restarted")
        row.expect(viewer.connections == 1, "the viewer was disconnected")
        row.accounts.append(Account(sent, viewer.received, service.buses()["car"]["lost"], RATE))
        row.mistakes += viewer.mistakes()
    show("cgroup-frozen", "the cgroup is frozen for 6 s and thawed", row, capsys)


def test_supervisor_is_killed_and_stopped(
    installed: None, vcan0: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row()
    with served() as (service, viewer, sender):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            pid = service.pid
            os.kill(pid, number)
            fault_s = time.monotonic()
            row.times += 1
            service.wait_active(pid, 60)
            service.wait_state("car", "running")
            wait_flow(viewer, sender)
            row.recoveries_s.append(time.monotonic() - fault_s)
        row.mistakes += viewer.mistakes()
        row.expect(not viewer.cut, "a stream ends within a packet")
    row.note = "; SIGSTOP: systemd waits 10 s; frames on the bus before it is open again are nobody's"
    show("killed-and-stopped", "the supervisor gets SIGKILL, then SIGSTOP", row, capsys)


def test_restart_in_the_middle_of_a_reload(
    installed: None, vcan0: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row(times=1)
    with served() as (service, viewer, sender):
        service.write(BUSES + MORE)
        reload = subprocess.Popen(["systemctl", "reload", UNIT])
        fault_s = time.monotonic()
        systemctl("restart", UNIT)
        reload.wait(60)
        service.wait_state("more", "running")
        wait_flow(viewer, sender)
        row.recoveries_s.append(time.monotonic() - fault_s)
        row.mistakes += viewer.mistakes()
        row.expect(not viewer.cut, "a stream ends within a packet")
        row.expect(service.show("NRestarts")["NRestarts"] == "0", "systemd had to start it again")
    show("restarted-in-reload", "systemctl restart while it reloads", row, capsys)
