"""socketcan under load: no frame is lost on the way to a client. `test_faults_load` has frames that the kernel drops."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import mistakes

if TYPE_CHECKING:
    from pathlib import Path

BUS = """
[bus.body]
interface = "socketcan"
channel = "vcan0"
client_backlog = 67108864
"""


def connected(daemon: Daemon) -> Client:
    """Return a client that the worker has accepted."""
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
        poll(lambda: daemon.bus("body")["frames"]["received"] == count, what="the count in status")
        bus = daemon.bus("body")
    # cangen numbers in the byte order of the machine.
    assert mistakes((int.from_bytes(frame.data, "little") for frame in client.frames), count) == ""
    assert bus["lost"] == {"kernel": 0, "adapter": 0, "clients": 0, "unknown": 0}
    stamps = [frame.timestamp_us for frame in client.frames]
    assert stamps == sorted(stamps)
