"""Drill: other programs use up the processor, the worker does not get to read, and the kernel drops frames: each is counted."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psutil

from tests.faults import table
from tests.faults.account import Account
from tests.faults.drill import Result, Row
from tests.faults.load import hogs
from tests.lab.guest.traffic import SocketcanSender
from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import number

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# The watchdog must not kill the worker, which the test stops.
BUS = """
[bus.body]
interface = "socketcan"
channel = "vcan0"
watchdog = 120
client_backlog = 67108864
"""
COUNT = 60_000
"""More than the socket's buffer holds: 16 MiB at some 800 bytes a frame."""
SENTINEL = 1 << 40
"""A number that no numbered frame has: that of the last frame."""


def test_frames_that_the_kernel_drops_are_counted_exactly(
    tmp_path: Path, vcan0: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row(times=1)
    with (
        Daemon(tmp_path, BUS) as daemon,
        SocketcanSender(vcan0) as sender,
        Client(daemon.wait_port("body")) as client,
        hogs(2),
    ):
        poll(lambda: daemon.bus("body")["clients"], what="the client is connected")
        worker = psutil.Process(daemon.bus("body")["pid"])
        worker.send_signal(signal.SIGSTOP)
        try:
            for value in range(COUNT):
                sender.send(value)
        finally:
            worker.send_signal(signal.SIGCONT)
        goes_on_s = time.monotonic()
        # The kernel reports drops with the next frame that it keeps: the buffer must be empty by then.
        poll(lambda: client.frames, what="the first frames after the stop")
        row.recoveries_s.append(time.monotonic() - goes_on_s)
        poll(lambda: daemon.bus("body")["frames"]["per_second"] == 0, what="the bus is quiet")
        sender.send(SENTINEL)
        poll(lambda: number(client.frames[-1]) == SENTINEL, what="the last frame")
        poll(
            lambda: daemon.bus("body")["frames"]["received"] == len(client.frames), what="the count in status"
        )
        lost = dict(daemon.bus("body")["lost"])
        numbers = [number(frame) for frame in client.frames]
    row.accounts.append(Account(COUNT + 1, len(numbers), lost))
    row.expect(lost["kernel"] > 0, "the kernel has dropped nothing: this drill breaks nothing")
    row.expect(lost["kernel"] == COUNT + 1 - len(numbers), f"{lost['kernel']} frames counted as dropped")
    row.expect(numbers == sorted(set(numbers)), "frames are doubled, or not in order")
    row.note = "as fast as a program can send, beside two programs that use the processor, and a worker that does not run"
    result = Result("load:kernel", "a worker does not get to read", row).as_json()
    with capsys.disabled():
        print("\n" + table.HEAD + "\n" + table.line(result))
    assert not row.failures
