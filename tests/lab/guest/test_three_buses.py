"""Three buses of three kinds with three clients each: every client gets every frame once and in order."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.lab.guest.traffic import SocketcanSender
from tests.support.harness import ROOT, Client, Daemon, poll
from tests.support.numbered_frames import mistakes, number

if TYPE_CHECKING:
    from pathlib import Path

BUSES = """
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
[bus.body]
interface = "slcan"
channel = "{adapter}"
[bus.bench]
interface = "mock"
speed = 20.0
start = "always"
"""
FRAMES_PER_SECOND = 500
"""Limited by the machine's slow system calls: three adapters, nine clients and this test share a processor."""
SECONDS = 10
CLIENTS = 3


class Adapter:
    """The emulated slcan adapter, which numbers its frames from 1 when its rate is set."""

    def __init__(self, link: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/slcan_adapter.py"), "--link", str(link)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def counts(self) -> dict[str, int]:
        """Return the numbers of frames sent, and of frames lost because the host's buffer was full."""
        self.tell("status")
        assert self._process.stdout is not None
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", self._process.stdout.readline())}

    def close(self) -> None:
        self.tell("quit")
        self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()


def test_nothing_is_lost_doubled_or_out_of_order(tmp_path: Path, vcan0: str) -> None:
    link = tmp_path / "adapter"
    adapter = Adapter(link)
    try:
        with Daemon(tmp_path, BUSES.format(adapter=link)) as daemon, ExitStack() as stack:
            clients = {
                bus: [stack.enter_context(Client(daemon.wait_port(bus))) for _ in range(CLIENTS)]
                for bus in ("powertrain", "body", "bench")
            }
            poll(
                lambda: all(len(bus["clients"]) == CLIENTS for bus in daemon.status()["buses"]),
                what="clients",
            )
            sent = FRAMES_PER_SECOND * SECONDS
            with SocketcanSender(vcan0) as sender:
                adapter.tell(f"rate {FRAMES_PER_SECOND}")
                sender.send_at_rate(sent, FRAMES_PER_SECOND)
                adapter.tell("rate 0")
            from_adapter = adapter.counts()
            everywhere = [*clients["powertrain"], *clients["body"]]
            poll(
                lambda: all(
                    len(client.frames) >= (sent if client in clients["powertrain"] else from_adapter["sent"])
                    for client in everywhere
                ),
                what="all frames at all clients",
            )
            lost = {bus["name"]: bus["lost"] for bus in daemon.status()["buses"]}
    finally:
        adapter.close()
    assert from_adapter["sent"] > sent / 2
    assert from_adapter["lost"] == 0
    for client in clients["powertrain"]:
        assert mistakes(map(number, client.frames), sent) == ""
    for client in clients["body"]:
        numbers = [int.from_bytes(frame.data[:4], "big") - 1 for frame in client.frames]
        assert mistakes(numbers, from_adapter["sent"]) == ""
    # The mock bus is endless: from the first frame of the last client on, the streams must be equal.
    streams = [client.frames for client in clients["bench"]]
    begin = max(stream[0] for stream in streams)
    streams = [stream[stream.index(begin) :] for stream in streams]
    shortest = min(map(len, streams))
    assert shortest > SECONDS * 100
    assert all(stream[:shortest] == streams[0][:shortest] for stream in streams)
    assert len(set(streams[0])) == len(streams[0])
    assert not any(count for counts in lost.values() for count in counts.values()), lost
