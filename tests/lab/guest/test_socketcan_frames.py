"""socketcan on a real kernel: frames of each kind arrive as they were sent, with the kernel's time stamps."""

from __future__ import annotations

import itertools
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from tests.lab.guest.interfaces import cansend
from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSES = """
[bus.fd]
interface = "socketcan"
channel = "vcan0"
fd = true
[bus.classic]
interface = "socketcan"
channel = "vcan1"
[bus.filtered]
interface = "socketcan"
channel = "vcan2"
filters = [{ id = 0x100, mask = 0x7F0 }]
"""
INTERFACES = {"fd": "vcan0", "classic": "vcan1", "filtered": "vcan2"}

BYTES_64 = bytes(range(64))

CLASSIC = [
    ("123#0102030405060708", Frame(0, 0x123, 0, bytes(range(1, 9)))),
    ("000#00", Frame(0, 0x000, 0, b"\0")),
    ("7FF#FFFFFF", Frame(0, 0x7FF, 0, b"\xff\xff\xff")),
    ("123#", Frame(0, 0x123, 0, b"")),
    ("1F334455#1122334455667788", Frame(0, 0x1F334455, EXTENDED, bytes.fromhex("1122334455667788"))),
    ("00000123#AA", Frame(0, 0x123, EXTENDED, b"\xaa")),
    ("1FFFFFFF#", Frame(0, 0x1FFFFFFF, EXTENDED, b"")),
]
# The digit after ## is canfd_frame.flags. This kernel adds CANFD_FDF (0x04), which must not show.
CAN_FD = [
    ("1F0##0AABB", Frame(0, 0x1F0, FD, b"\xaa\xbb")),
    ("1F0##1AABB", Frame(0, 0x1F0, FD | BRS, b"\xaa\xbb")),
    ("1F0##2AABB", Frame(0, 0x1F0, FD | ESI, b"\xaa\xbb")),
    ("1F0##3AABB", Frame(0, 0x1F0, FD | BRS | ESI, b"\xaa\xbb")),
    ("1F0##1", Frame(0, 0x1F0, FD | BRS, b"")),
    ("1F0##1" + BYTES_64.hex(), Frame(0, 0x1F0, FD | BRS, BYTES_64)),
    ("1F334455##1" + BYTES_64[:12].hex(), Frame(0, 0x1F334455, EXTENDED | FD | BRS, BYTES_64[:12])),
]


class Viewer:
    """A client of a bus that waits for sent frames by means of a mark sent behind them."""

    def __init__(self, bus: str, port: int) -> None:
        self.interface = INTERFACES[bus]
        self.client = Client(port)
        self._marks = itertools.count()
        # The client misses frames until the worker has accepted the connection.
        poll(lambda: self._mark() or self.client.frames, what=f"{bus} sends to its client")

    def _mark(self) -> Frame | None:
        data = next(self._marks).to_bytes(4)
        cansend(self.interface, f"10F#{data.hex()}")
        return Frame(0, 0x10F, 0, data)

    def see(self, *texts: str) -> list[Frame]:
        """Send these frames, in the notation of cansend(1); return those that arrive."""
        before = self._settle()
        for text in texts:
            cansend(self.interface, text)
        after = self._settle()
        return self.client.frames[before : after - 1]

    def _settle(self) -> int:
        """Wait until the bus is empty; return the number of frames that have arrived by then."""
        mark = self._mark()

        def arrived() -> int:
            frames = self.client.frames
            return len(frames) if frames and frames[-1]._replace(timestamp_us=0) == mark else 0

        return poll(arrived, what="the mark behind all other frames")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, vcans: list[str]) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), BUSES) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def viewers(daemon: Daemon) -> Iterator[dict[str, Viewer]]:
    viewers = {bus: Viewer(bus, daemon.wait_port(bus)) for bus in INTERFACES}
    yield viewers
    for viewer in viewers.values():
        viewer.client.close()


def unstamped(frames: list[Frame]) -> list[Frame]:
    return [frame._replace(timestamp_us=0) for frame in frames]


@pytest.mark.parametrize("bus", ["fd", "classic"])
def test_classic_frames_arrive_byte_for_byte(viewers: dict[str, Viewer], bus: str) -> None:
    arrived = viewers[bus].see(*(text for text, _ in CLASSIC))
    assert unstamped(arrived) == [frame for _, frame in CLASSIC]


def test_can_fd_frames_arrive_with_the_flags_they_were_sent_with(viewers: dict[str, Viewer]) -> None:
    arrived = viewers["fd"].see(*(text for text, _ in CAN_FD))
    assert unstamped(arrived) == [frame for _, frame in CAN_FD]


def test_classic_frames_among_can_fd_frames_stay_classic(viewers: dict[str, Viewer]) -> None:
    arrived = viewers["fd"].see("123#01", "123##101", "123#02")
    assert unstamped(arrived) == [
        Frame(0, 0x123, 0, b"\x01"),
        Frame(0, 0x123, FD | BRS, b"\x01"),
        Frame(0, 0x123, 0, b"\x02"),
    ]


@pytest.mark.parametrize(("bus", "can_id"), [("classic", "123"), ("filtered", "105")])
def test_can_fd_frames_arrive_on_a_bus_without_the_key_fd(
    viewers: dict[str, Viewer], bus: str, can_id: str
) -> None:
    arrived = viewers[bus].see(f"{can_id}#01", f"{can_id}##1{BYTES_64.hex()}", f"{can_id}#03")
    assert [(frame.flags, frame.data) for frame in arrived] == [
        (0, b"\x01"),
        (FD | BRS, BYTES_64),
        (0, b"\x03"),
    ]


def test_remote_frames_are_counted_and_not_sent(daemon: Daemon, viewers: dict[str, Viewer]) -> None:
    before = daemon.bus("classic")["frames"]["remote"]
    arrived = viewers["classic"].see("123#R", "1F334455#R8", "124#01")
    assert [frame.arbitration_id for frame in arrived] == [0x124]
    poll(
        lambda: daemon.bus("classic")["frames"]["remote"] == before + 2, what="two more remote frames counted"
    )


def test_filter_passes_only_its_ids(viewers: dict[str, Viewer]) -> None:
    arrived = viewers["filtered"].see("0FF#00", "100#01", "105#02", "10E#03", "110#04", "500#05", "7FF#06")
    assert [frame.arbitration_id for frame in arrived] == [0x100, 0x105, 0x10E]


def test_time_stamps_are_the_times_of_sending_not_of_reading(
    daemon: Daemon, viewers: dict[str, Viewer]
) -> None:
    viewer = viewers["classic"]
    worker = psutil.Process(daemon.bus("classic")["pid"])
    known = len(viewer.client.frames)
    moments: list[tuple[int, int]] = []
    # The worker is stopped meanwhile: only the kernel can know the time of each frame.
    worker.send_signal(signal.SIGSTOP)
    try:
        for value in range(5):
            before_us = time.time_ns() // 1000
            cansend(viewer.interface, f"321#{value:02X}")
            moments.append((before_us, time.time_ns() // 1000))
    finally:
        worker.send_signal(signal.SIGCONT)
    resumed_us = moments[-1][1]
    arrived = viewer.client.wait_frames(known + 5)[known:]
    stamps = [frame.timestamp_us for frame in arrived]
    assert [frame.data[0] for frame in arrived] == [0, 1, 2, 3, 4]
    assert all(before <= stamp <= after for (before, after), stamp in zip(moments, stamps, strict=True)), (
        [(stamp - before, after - before) for (before, after), stamp in zip(moments, stamps, strict=True)],
    )
    assert all(at_s * 1e6 >= resumed_us for at_s in viewer.client.arrivals_s[known:])
