"""Drills: the machine's clock is set by an hour either way, gets the time long after boot, drifts, has a leap second; only a machine's own clock may be set."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import pytest

from tests.faults import table
from tests.faults.drill import Result, Row
from tests.faults.slcan_bus import NumberedSlcan, slcan_table, watched
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, Daemon, busy_limit_s, poll
from tests.support.python_can_driver import driver
from tests.support.recorded_files import frames_in
from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.watched_bus import WatchedBus

RATE = 20
"""Frames per second of each bus: the machine's processor is slow."""
FOLLOWS_WITHIN_S = 2.0
NEAR_S = 1.0
"""Largest distance between a stamp and its arrival in the busy machine."""
BUSES = """
[bus.kernel]
interface = "socketcan"
channel = "vcan0"
[bus.mock]
interface = "mock"
pattern = "numbered"
rate = 20
start = "always"
record = {{ max_mb = 10 }}
[bus.log]
interface = "replay"
file = "{log}"
[bus.driver]
interface = "own"
channel = "1"
"""
COUNTS_FROM_START = """inner = self._recv_internal
        def stamped(timeout):
            message, filtered = inner(timeout)
            message.timestamp = time.monotonic()
            return message, filtered
        self._recv_internal = stamped"""
LEAP_SECOND = {0: 0x10, 5: 0x10}
"""Words of a struct timex: ADJ_STATUS; STA_INS."""
NO_LEAP_SECOND = {0: 0x10, 5: 0x40}
"""ADJ_STATUS; STA_UNSYNC. The kernel inserts no second one before STA_INS was taken away (second_overflow(), ntp.c)."""
DAY_S = 86_400
BEFORE_MIDNIGHT_S = 10.0
"""The second is inserted at the end of the day (UTC)."""
NAMES = ("serial", "kernel", "mock", "log", "driver")


class StampedSlcan(NumberedSlcan):
    """Stamps its frames with milliseconds, as LAWICEL's do after Z1."""

    def write(self, data: bytes) -> None:
        if self.stamps and data.startswith(b"t"):
            data = data[:-1] + b"%04X\r" % (int(time.monotonic() * 1000) % 60_000)
        super().write(data)


@pytest.fixture(autouse=True)
def right_time() -> Iterator[None]:
    """Set the clock right at the end."""
    ahead_s = time.time() - time.monotonic()
    yield
    time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + ahead_s)


class Drilled:
    """A daemon with a bus for each kind of time stamp, and a client at each."""

    def __init__(self, folder: Path) -> None:
        log = folder / "drive.log"
        log.write_text("".join(f"({1000 + n / RATE:.6f}) can0 123#{n:016X}\n" for n in range(200_000)))
        self.folder = folder
        self.adapter = SlcanAdapter(folder / "tty", kind=StampedSlcan)
        self.daemon = Daemon(
            folder,
            slcan_table("serial", folder / "tty", "hardware_timestamps = true") + BUSES.format(log=log),
        )
        self.bus: WatchedBus = watched(self.daemon, "serial", self.adapter)
        self.clients: dict[str, Client] = {}
        self.workers: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            stack.enter_context(driver(self.folder, COUNTS_FROM_START))
            stack.enter_context(self.adapter)
            stack.enter_context(Traffic("vcan0"))
            stack.enter_context(self.daemon)
            stack.callback(self.bus.disconnect)
            self.bus.connect()
            self.daemon.wait_state("serial", "running")
            self.bus.send(RATE)
            for name in NAMES:
                self.clients[name] = stack.enter_context(Client(self.daemon.wait_port(name)))
                self.workers[name] = self.daemon.wait_state(name, "running")["pid"]
            for client in self.clients.values():
                client.wait_frames(10)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def set_clock(self, seconds: float, row: Row) -> None:
        """Set the clock to `seconds` since the epoch, and expect that the stamps of all buses follow."""
        time.clock_settime(time.CLOCK_REALTIME, seconds)
        self.expect_stamps_follow(row)

    def expect_stamps_follow(self, row: Row) -> None:
        """Expect that the stamps of all buses follow the clock, which was just set."""
        set_s = time.monotonic()
        row.times += 1
        late = dict(self.clients)
        while late and time.monotonic() < set_s + 20:
            for name, client in list(late.items()):
                if self.is_near(client):
                    took_s = time.monotonic() - set_s
                    row.recoveries_s.append(took_s)
                    limit_s = busy_limit_s(FOLLOWS_WITHIN_S)
                    row.expect(took_s < limit_s, f"stamps of {name} followed after {took_s:.1f} s")
                    del late[name]
            time.sleep(0.02)
        row.expect(not late, f"stamps of {', '.join(late)} have not followed")
        # The supervisor looks now and then: two steps in between would be told as one.
        poll(lambda: self.told() >= row.times, what="the step is told")

    @staticmethod
    def is_near(client: Client) -> bool:
        """Return whether the last frame has the present time, by a clock that was set."""
        return abs(client.frames[-1].timestamp_us / 1e6 - time.time()) < NEAR_S

    def told(self) -> int:
        return self.daemon.log.read_text().count("the clock of this machine was set")

    def steps_back(self) -> dict[str, int]:
        """Return how often the stamps of each bus have gone back."""
        return {
            name: sum(b.timestamp_us < a.timestamp_us for a, b in pairwise(list(client.frames)))
            for name, client in self.clients.items()
        }

    def finish(self, row: Row, *, steps_back: int) -> None:
        back = self.steps_back()
        row.expect(
            set(back.values()) == {steps_back}, f"stamps have gone back {back} times, not {steps_back}"
        )
        row.expect(self.told() == row.times, f"told {self.told()} times of {row.times} steps")
        now = {name: self.daemon.bus(name)["pid"] for name in NAMES}
        row.expect(now == self.workers, f"workers were restarted: {now}, before {self.workers}")
        row.accounts.append(self.bus.account())
        row.mistakes += self.bus.seen.mistakes()
        row.note = f"{RATE} frames/s, since the machine is slow"
        self.expect_recordings_in_order(row)

    def expect_recordings_in_order(self, row: Row) -> None:
        """By their running numbers, the files hold the frames in the order of the bus; in none does the time go back."""
        assert self.daemon.ctl("stop", "mock").returncode == 0
        files = sorted((self.folder / "state" / "recordings").iterdir())
        numbers = []
        for file in files:
            frames = frames_in(file)
            stamps = [frame.timestamp_us for frame in frames]
            row.expect(stamps == sorted(stamps), f"the time goes back in {file.name}")
            numbers += [int.from_bytes(frame.data[:8]) for frame in frames]
        row.expect(
            numbers == list(range(numbers[0], numbers[0] + len(numbers))),
            f"the recordings {[file.name for file in files]} are not in order",
        )


def show(name: str, breaks: str, row: Row, began_s: float) -> None:
    """Print the row, and fail if a promise did not hold."""
    result = Result(f"clock:{name}", breaks, row, time.monotonic() - began_s).as_json()
    print("\n" + table.HEAD + "\n" + table.line(result))
    assert not row.failures


@pytest.mark.usefixtures("vcan0")
def test_clock_set_by_an_hour_either_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row, began_s = Row(), time.monotonic()
    with Drilled(tmp_path) as drilled:
        drilled.set_clock(time.time() + 3600, row)
        drilled.set_clock(time.time() - 7200, row)
        drilled.bus.wait_rate()  # what a crash costs is estimated by it
        killed_s = time.monotonic()
        worker = drilled.workers["serial"]
        os.kill(worker, signal.SIGKILL)  # restart delays do not depend on the clock
        drilled.bus.wait_next_worker(worker)
        drilled.workers["serial"] = drilled.bus.pid
        row.figures["restarted_s"] = time.monotonic() - killed_s
        drilled.bus.wait_flow()
        drilled.finish(row, steps_back=1)
    with capsys.disabled():
        show("stepped", "the clock is set an hour ahead, and two back", row, began_s)


@pytest.mark.usefixtures("vcan0")
def test_boot_without_a_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row, began_s, right_s = Row(), time.monotonic(), time.time()
    # As long after 1970 as the machine runs: the kernel refuses anything before its boot (clock_settime(2)).
    time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + 1)
    with Drilled(tmp_path) as drilled:
        drilled.set_clock(right_s + time.monotonic() - began_s, row)
        drift(500)
        try:
            for client in drilled.clients.values():
                client.wait_frames(len(client.frames) + 3 * RATE)
        finally:
            drift(0)
        far = [name for name, client in drilled.clients.items() if not drilled.is_near(client)]
        row.expect(not far, f"stamps of {far} do not follow the drift")
        drilled.finish(row, steps_back=0)
    with capsys.disabled():
        show("no-clock", "boot in 1970, then NTP; then a drift of 500 ppm", row, began_s)


@pytest.mark.usefixtures("vcan0")
def test_leap_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row, began_s = Row(), time.monotonic()
    with Drilled(tmp_path) as drilled:
        midnight_s = (time.time() // DAY_S + 1) * DAY_S
        drilled.set_clock(midnight_s - BEFORE_MIDNIGHT_S, row)
        ahead_s = time.time() - time.monotonic()
        adjust(LEAP_SECOND)
        try:
            poll(
                lambda: time.time() - time.monotonic() < ahead_s - 0.5, what="the second that is there twice"
            )
        finally:
            adjust(NO_LEAP_SECOND)
        drilled.expect_stamps_follow(row)
        # Stamps are near so small a step before there is a frame behind it.
        for client in drilled.clients.values():
            client.wait_frames(len(client.frames) + RATE)
        drilled.finish(row, steps_back=1)
    with capsys.disabled():
        show("leap-second", "a leap second at midnight, as the kernel inserts it", row, began_s)


def drift(ppm: int) -> None:
    """Let the kernel's clock run fast."""
    adjust({0: 0x2, 2: ppm << 16})  # ADJ_FREQUENCY; freq


def adjust(words: dict[int, int]) -> None:
    """Set these words of a struct timex, the first of which says what is set (adjtimex(2))."""
    timex = (ctypes.c_long * 32)()
    for place, value in words.items():
        timex[place] = value
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
