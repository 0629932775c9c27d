"""The commands of python-can and cantools, reading a bus of the daemon, as processes like a user's."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pty
import signal
import struct
import subprocess
import sysconfig
import termios
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import can
import pexpect
import pexpect.fdpexpect
import pytest

from tests.support.harness import PATIENCE_S, Client, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cancorderd.protocol.frame import Frame
    from tests.support.harness import Daemon

SCRIPTS = Path(sysconfig.get_path("scripts"))
DEMO = '[bus.demo]\ninterface = "mock"\nspeed = 5\n'
FLOOD = '[bus.flood]\ninterface = "mock"\nrate = 500\n'
DBC = """VERSION ""
BU_: Mock
BO_ 256 Flood: 8 Mock
 SG_ Number : 7|64@0+ (1,0) [0|0] "frames" Mock
"""


class Content(NamedTuple):
    """The fields of a frame that every log file stores, except the time."""

    arbitration_id: int
    is_extended: bool
    is_fd: bool
    data: bytes


def of_frame(frame: Frame) -> Content:
    return Content(frame.arbitration_id, frame.is_extended, frame.is_fd, frame.data)


def of_message(message: can.Message) -> Content:
    return Content(message.arbitration_id, message.is_extended_id, message.is_fd, bytes(message.data))


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command of the environment, and end it by Ctrl+C."""
    name, *arguments = command
    process = subprocess.Popen(
        [SCRIPTS / name, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, process.stdout and process.stdout.read()
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def on_a_terminal(*command: str | Path) -> Iterator[pexpect.fdpexpect.fdspawn[str]]:
    """Run a command on a terminal of 24 lines and 80 columns; it has to end by itself."""
    name, *arguments = command
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [SCRIPTS / name, *arguments],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    screen = pexpect.fdpexpect.fdspawn(master, timeout=PATIENCE_S, encoding="utf-8")
    try:
        yield screen
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        screen.close()


def within(recorded: list[Content], seen: list[Content]) -> int:
    """Return the index in `seen` at which `recorded` begins; AssertionError if it is not there without a gap."""
    for start in range(len(seen) - len(recorded) + 1):
        if seen[start : start + len(recorded)] == recorded:
            return start
    raise AssertionError(f"{recorded} are not, without a gap, in {seen}")


@pytest.mark.parametrize("ending", ["blf", "log", "asc"])
def test_can_logger_records_every_frame(daemon: Callable[[str], Daemon], tmp_path: Path, ending: str) -> None:
    port = daemon(DEMO).wait_port("demo")
    file = tmp_path / f"x.{ending}"
    with Client(port) as viewer:
        viewer.wait_frames(1)
        with running("can_logger", "-i", "ecuconnect", "-c", f"localhost:{port}", "-f", file) as logger:
            assert logger.stdout
            assert logger.stdout.readline() == f"Connected to EcuconnectBus: ecuconnect localhost:{port}\n"
            viewer.wait_frames(len(viewer.frames) + 150)
        viewer.wait_more()
        frames = list(viewer.frames)
    with can.LogReader(file) as reader:
        messages = list(reader)
    assert len(messages) >= 100
    assert {message.channel for message in messages} == {"can0" if ending == "log" else 0}
    start = within([of_message(message) for message in messages], [of_frame(frame) for frame in frames])
    # BLF stores the time of its beginning in ms, ASC counts from 0.
    offset_s = 0.0 if ending != "asc" else frames[start].timestamp_s - messages[0].timestamp
    for message, frame in zip(messages, frames[start:], strict=False):
        assert message.timestamp + offset_s == pytest.approx(frame.timestamp_s, rel=0, abs=0.002)


def test_can_logger_records_on_after_a_restart_of_the_daemon(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    gateway = daemon(FLOOD)
    port = gateway.wait_port("flood")
    gateway.write(FLOOD + f"port = {port}\n")
    file = tmp_path / "x.log"
    with running("can_logger", "-i", "ecuconnect", "-c", f"localhost:{port}", "-f", file) as logger:
        poll(lambda: gateway.bus("flood")["clients"])
        gateway.stop()
        assert logger.stdout
        poll(lambda: logger.stdout and "the server ended the stream" in logger.stdout.readline())
        gateway.start()
        poll(lambda: gateway.bus("flood")["clients"])
        with Client(port) as viewer:
            viewer.wait_frames(1000)
    numbers = [
        struct.unpack(">Q", bytes.fromhex(line.split()[2][4:]))[0] for line in file.read_text().splitlines()
    ]
    restarts = [number for last, number in itertools.pairwise(numbers) if number != last + 1]
    assert restarts == [0]


def test_can_viewer_shows_frames(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(DEMO).wait_port("demo")
    with on_a_terminal("can_viewer", "-i", "ecuconnect", "-c", f"localhost:{port}") as screen:
        screen.expect("0x7E0")
        screen.expect("0x7E8")
        screen.send("q")


def test_cantools_monitor_decodes(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    port = daemon(FLOOD).wait_port("flood")
    file = tmp_path / "flood.dbc"
    file.write_text(DBC)
    with on_a_terminal("cantools", "monitor", "-i", "ecuconnect", "-c", f"localhost:{port}", file) as screen:
        screen.expect(r"Flood\(")
        screen.expect(r"Number: *\d+ frames")
        screen.send("q")


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="needs multicast on loopback, as Linux sets it up"
)
def test_can_bridge_copies_the_bus_to_another_interface(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(FLOOD).wait_port("flood")
    group = f"239.74.163.{os.getpid() % 200 + 2}"
    bridge = [
        *("--bus1-interface", "ecuconnect", "--bus1-channel", f"localhost:{port}"),
        *("--bus2-interface", "udp_multicast", "--bus2-channel", group, "--bus2-bus-kwargs", "hop_limit=0"),
    ]
    with (
        can.Bus(interface="udp_multicast", channel=group, hop_limit=0) as bus,
        running("can_bridge", *bridge),
    ):
        messages = [bus.recv(PATIENCE_S) for _ in range(500)]
        numbers = [struct.unpack(">Q", message.data)[0] for message in messages if message]
        assert numbers == list(range(numbers[0], numbers[0] + 500))
