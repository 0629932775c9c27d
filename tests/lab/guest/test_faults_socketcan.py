"""Drills of socketcan: interfaces that go away in every way, bus-off storms, floods of error frames.

The rate is what this machine's slow processor carries beside the rest. Each test prints the row of the table. With
`--long`, an interface goes away 50 times in each way.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Self

import pytest

from tests.faults import table
from tests.faults.account import Account
from tests.faults.drill import Result, Row
from tests.faults.viewer import Viewer
from tests.lab.guest.interfaces import add_vcan, ip
from tests.lab.guest.traffic import SocketcanSender
from tests.support.harness import Daemon, poll
from tests.support.numbered_frames import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RATE = 200
TIMES, LONG_TIMES = 3, 50
BUS = '[bus.body]\ninterface = "socketcan"\nchannel = "vcan0"\n'
RECOVERY_S = 4.0
"""From the interface's return to the first frame at the client."""
_CAN_FRAME = struct.Struct("=IB3x8s")
_BUS_OFF = 0x20000040
_RESTARTED = 0x20000100
_CONTROLLER = 0x20000004
NAMESPACE = "elsewhere"


class Flow:
    """Numbered frames on vcan0; it pauses when the interface is gone, until `resume`."""

    def __init__(self) -> None:
        self.sent = 0
        self._sender: SocketcanSender | None = None
        self._clock = Sender(self._send, RATE)

    def _send(self, _: int) -> None:
        if (sender := self._sender) is None:
            return
        try:
            sender.send(self.sent)
        except OSError:
            self._sender = None
            sender.close()
        else:
            self.sent += 1

    def resume(self) -> None:
        self.pause()
        self._sender = SocketcanSender("vcan0")

    def pause(self) -> None:
        sender, self._sender = self._sender, None
        if sender:
            sender.close()

    def stop(self) -> None:
        self._clock.stop()
        self.pause()

    def __enter__(self) -> Self:
        self._clock.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Drilled:
    """The bus `body`, its viewer, and the row of the drill."""

    def __init__(self, daemon: Daemon, viewer: Viewer, flow: Flow) -> None:
        self.daemon, self.viewer, self.flow = daemon, viewer, flow
        self.row = Row(note=f"{RATE} frames per second, for this machine")

    def wait_flow(self) -> float:
        mark = self.flow.sent
        poll(lambda: self.viewer.last >= mark, what="a new frame")
        return self.viewer.last_arrival_s

    def recover(self, since_s: float) -> None:
        """Wait until the bus runs, then for its frames."""
        self.daemon.wait_state("body", "running")
        self.flow.resume()
        self.row.recoveries_s.append(self.wait_flow() - since_s)
        self.row.times += 1

    def finish(self, name: str, breaks: str) -> None:
        self.flow.stop()
        poll(lambda: self.viewer.last == self.flow.sent - 1, what="the last frame")
        poll(lambda: self.daemon.bus("body")["frames"]["received"] == self.viewer.received, what="counts")
        lost = dict(self.daemon.bus("body")["lost"])
        self.row.accounts.append(Account(self.flow.sent, self.viewer.received, lost, RATE))
        self.row.mistakes += self.viewer.mistakes()
        self.row.expect(self.viewer.connections == 1, "the client was cut")
        print(table.HEAD)
        print(table.line(Result(f"socketcan:{name}", breaks, self.row).as_json()))
        assert self.row.failures == []


@pytest.fixture
def drilled(tmp_path: Path, vcan0: str) -> Iterator[Drilled]:
    with Daemon(tmp_path, BUS) as daemon:
        port = daemon.wait_state("body", "running")["port"]
        with Viewer(port) as viewer, Flow() as flow:
            poll(lambda: daemon.bus("body")["clients"], what="the viewer is connected")
            flow.resume()
            found = Drilled(daemon, viewer, flow)
            found.wait_flow()
            yield found


def delete() -> None:
    ip("link del vcan0")


def create() -> None:
    add_vcan("vcan0")


def rename() -> None:
    ip("link set vcan0 down")
    ip("link set vcan0 name other0")
    ip("link set other0 up")


def rename_back() -> None:
    ip("link set other0 down")
    ip("link set other0 name vcan0")
    ip("link set vcan0 up")


def move() -> None:
    ip(f"netns add {NAMESPACE}")
    ip(f"link set vcan0 netns {NAMESPACE}")


def move_back() -> None:
    ip(f"-n {NAMESPACE} link set vcan0 netns 1")
    ip(f"netns del {NAMESPACE}")
    ip("link set vcan0 up")


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    yield
    for command in (f"netns del {NAMESPACE}", "link del other0"):
        subprocess.run(["ip", *command.split()], check=False, capture_output=True)


@pytest.mark.parametrize(
    ("take_away", "bring_back", "breaks"),
    [
        pytest.param(delete, create, "the interface is deleted and made anew", id="deleted"),
        pytest.param(rename, rename_back, "the interface is renamed and renamed back", id="renamed"),
        pytest.param(move, move_back, "the interface moves to another network namespace", id="moved"),
    ],
)
def test_an_interface_that_goes_away(
    drilled: Drilled,
    take_away: Callable[[], None],
    bring_back: Callable[[], None],
    breaks: str,
    request: pytest.FixtureRequest,
) -> None:
    for number in range(LONG_TIMES if request.config.getoption("--long") else TIMES):
        take_away()
        if number % 2 == 0:
            drilled.daemon.wait_state("body", "waiting")
        else:  # back before the worker has looked; it notices later
            poll(lambda: drilled.daemon.bus("body")["state"] != "running", what="the worker has noticed")
        since_s = time.monotonic()
        bring_back()
        drilled.recover(since_s)
    drilled.row.expect(
        max(drilled.row.recoveries_s) < 5 * RECOVERY_S, f"{max(drilled.row.recoveries_s):.1f} s to recover"
    )
    drilled.finish(request.node.callspec.id, breaks)


@contextlib.contextmanager
def raw_socket() -> Iterator[Callable[[int, bytes], object]]:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sock:
        sock.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        sock.bind(("vcan0",))
        yield lambda can_id, data: sock.send(_CAN_FRAME.pack(can_id, 8, data.ljust(8, b"\0")))


def test_bus_off_storms_beside_frames(drilled: Drilled) -> None:
    worker = drilled.daemon.bus("body")["pid"]
    with raw_socket() as send:
        for _ in range(TIMES):
            for _ in range(100):
                send(_BUS_OFF, b"")
                send(_RESTARTED, b"")
            since_s = time.monotonic()
            drilled.row.recoveries_s.append(drilled.wait_flow() - since_s)
            drilled.row.times += 1
    drilled.row.expect(drilled.daemon.bus("body")["pid"] == worker, "the worker was replaced")
    drilled.finish("bus-off-storms", "the controller is bus-off and back, 100 times in a row")
    errors = drilled.daemon.bus("body")["frames"]["error"]
    assert errors == TIMES * 200


def test_bus_off_for_good(drilled: Drilled) -> None:
    for _ in range(3):
        drilled.flow.pause()
        drilled.daemon.ctl("status")
        with raw_socket() as send:
            send(_BUS_OFF, b"")
        since_s = time.monotonic()
        bus = drilled.daemon.wait_state("body", "backoff", "starting")
        assert "bus-off" in bus["last_error"]
        drilled.recover(since_s)
    drilled.finish("bus-off", "the controller is bus-off and stays it")


def test_a_flood_of_error_frames(drilled: Drilled) -> None:
    worker = drilled.daemon.bus("body")["pid"]
    flood = 5000
    with raw_socket() as send:
        for number in range(flood):
            send(_CONTROLLER, bytes([0, 4 + 8 * (number % 2)]))
    since_s = time.monotonic()
    drilled.row.recoveries_s.append(drilled.wait_flow() - since_s)
    drilled.row.times += 1
    poll(lambda: drilled.daemon.bus("body")["frames"]["error"] == flood, what="every error frame is counted")
    drilled.row.expect(drilled.daemon.bus("body")["pid"] == worker, "the worker was replaced")
    drilled.finish("error-frames", f"a flood of {flood} error frames")
