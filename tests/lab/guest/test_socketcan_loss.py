"""socketcan under load: nothing is lost on the way to a client, or it is counted exactly."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.harness import Client, Daemon, poll
from tests.lab.guest.numbered import Sender, mistakes, number

if TYPE_CHECKING:
    from pathlib import Path

# The watchdog must not take a worker that the test has stopped for one that hangs.
BUS = """
[bus.body]
interface = "socketcan"
channel = "vcan0"
watchdog = 120
client_backlog = 67108864
"""
SENTINEL = 1 << 40
"""A number that no numbered frame has: sent last, to see the end."""


def connected(daemon: Daemon) -> Client:
    """A client that the worker has accepted."""
    client = Client(daemon.wait_port("body"))
    poll(lambda: daemon.bus("body")["clients"], what="the client is connected")
    return client


@pytest.mark.parametrize("gap_ms", ["0.2", "0"], ids=["2,000 a second", "as fast as cangen can"])
def test_every_frame_of_cangen_reaches_the_client_once_and_in_order(
    tmp_path: Path, vcan0: str, gap_ms: str
) -> None:
    count = 5000
    with Daemon(tmp_path, BUS) as daemon, connected(daemon) as client:
        subprocess.run(
            ["cangen", vcan0, "-I", "1", "-L", "8", "-D", "i", "-g", gap_ms, "-n", str(count)], check=True
        )
        poll(lambda: len(client.frames) >= count, what=f"{count} frames")
        poll(lambda: daemon.bus("body")["frames"]["received"] == count, what="the count is told")
        bus = daemon.bus("body")
    assert mistakes(map(number, client.frames), count) == ""
    assert bus["lost"] == {"kernel": 0, "adapter": 0, "clients": 0}
    stamps = [frame.timestamp_us for frame in client.frames]
    assert stamps == sorted(stamps)


def test_what_the_kernel_drops_is_counted_to_the_frame(tmp_path: Path, vcan0: str) -> None:
    # More than the socket's buffer holds: 16 MiB at some 800 bytes a frame.
    count = 60_000
    with Daemon(tmp_path, BUS) as daemon, connected(daemon) as client, Sender(vcan0) as sender:
        worker = psutil.Process(daemon.bus("body")["pid"])
        worker.send_signal(signal.SIGSTOP)
        try:
            for value in range(count):
                sender.send(value)
        finally:
            worker.send_signal(signal.SIGCONT)
        # The kernel tells of a drop with the next frame that it keeps: the buffer must be empty by then.
        poll(lambda: client.frames, what="the first frames after the stop")
        poll(lambda: daemon.bus("body")["frames"]["per_second"] == 0, what="the bus is quiet")
        sender.send(SENTINEL)
        poll(lambda: number(client.frames[-1]) == SENTINEL, what="the last frame")
        poll(lambda: daemon.bus("body")["frames"]["received"] == len(client.frames), what="the count is told")
        lost = daemon.bus("body")["lost"]
    numbers = [number(frame) for frame in client.frames]
    assert lost["kernel"] > 0
    assert len(numbers) + lost["kernel"] == count + 1
    assert lost["clients"] == 0
    assert numbers == sorted(set(numbers))
