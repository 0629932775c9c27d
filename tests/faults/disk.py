"""Faults of the disk with recordings and remembered ports: full, read-only, hanging, slow, torn."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import signal
import subprocess
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cancorderd.adapters.log_files.entries import LogEnd, LogFrame
from cancorderd.adapters.log_files.log_file import open_log
from tests.faults.account import Account
from tests.faults.daemon_lives import Lives, session
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.dead_file_system import dead_file_system
from tests.support.harness import busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.faults.watched_bus import WatchedBus

RATE = 1000
GOES_ON_WITHIN_S = 8.0
"""From the repair of the disk to the first recorded frame: the recorder looks again after 5 s, or somewhat more."""
UNWRITTEN_S = 2.0
"""A recorder that stands still for this long has frames in its backlog."""
TOO_LONG_S = 20.0
"""The same, for longer than backlog and socket buffers have room."""
SMALL_BACKLOG = 65_536
MORE = '[bus.{0}]\ninterface = "mock"\npattern = "numbered"\nrate = 500\nstart = "always"\n'
TORN_FORMATS = ("log", "asc", "blf")


def full(folder: Path, scale: Scale) -> Row:
    """Another program fills the disk: recording stops with the reason, and goes on when there is room."""
    row = Row(times=scale.of(1, 3))
    with mounted(folder / "disk", "size=4m"), recorded_bus(folder, folder / "disk") as bus:
        for _ in range(row.times):
            fill(folder / "disk/other")
            stopped = wait_stopped(bus)
            row.expect("is full" in stopped["reason"], f"the reason is {stopped['reason']!r}")
            bus.wait_flow()
            (folder / "disk/other").unlink()
            wait_recording(row, bus)
        finish(row, bus, folder / "disk")
    return row


def read_only(folder: Path, scale: Scale) -> Row:
    """The file system becomes read-only, ports.toml and recordings: everything is served, and a new bus as well."""
    row = Row(times=scale.of(1, 3))
    with recorded_bus(folder, folder / "state/recordings") as bus:
        buses = bus.daemon.file.read_text()
        for time_of in range(row.times):
            with mounted(folder / "state", "ro"):
                name = f"more{time_of}"
                bus.daemon.file.write_text(buses + MORE.format(name))
                row.expect(bus.daemon.ctl("reload").returncode == 0, "the reload fails")
                bus.daemon.wait_port(name)
                row.expect(bus.daemon.ctl("restart", "a").returncode == 0, "the restart fails")
                bus.wait_flow()
                stopped = wait_stopped(bus)
                row.expect("read-only" in stopped["reason"], f"the reason is {stopped['reason']!r}")
                bus.daemon.wait_log("ports.toml: ")
            wait_recording(row, bus)
        finish(row, bus, folder / "state/recordings")
    return row


def hanging(folder: Path, scale: Scale) -> Row:
    """A file system that does not answer comes over the folder: buses serve, and frames wait in the backlog."""
    row = Row(times=scale.of(1, 3))
    disk = folder / "disk"
    disk.mkdir()
    with recorded_bus(folder, disk) as bus:
        for _ in range(row.times):
            with dead_file_system(disk) as dead:
                dead.stop_answering()
                poll(dead.is_waited_for, what="the recorder waits")
                bus.wait_flow()
                poll(lambda: recording(bus)["reason"], what="the recorder is reported")
                bus.wait_flow()
            wait_recording(row, bus)
        finish(row, bus, disk)
    return row


def slow(folder: Path, scale: Scale) -> Row:
    """A disk that is slower than the bus: the recorder stands still again and again, and its backlog is small."""
    row = Row(times=scale.of(2, 5))
    disk = folder / "disk"
    with recorded_bus(folder, disk, rate=4000, keys=f"client_backlog = {SMALL_BACKLOG}") as bus:
        for _ in range(row.times):
            (recorder,) = poll(lambda: recorders(bus), what="a recorder")
            recorder.suspend()
            time.sleep(scale.of(UNWRITTEN_S, TOO_LONG_S))
            recorder.resume()
            wait_recording(row, bus)
        row.expect(bus.pid in [process.pid for process in bus.daemon.workers()], "the worker was restarted")
        finish(row, bus, disk)
        row.expect(recording(bus)["dropped"] > 0 or not scale.long, "the disk was not too slow")
    row.note = f"slowness is a recorder that stands still for {scale.of(UNWRITTEN_S, TOO_LONG_S):.0f} s, with the least backlog"
    return row


def torn(folder: Path, scale: Scale) -> Row:
    """Everything is killed, and the files end where a power cut may have torn them; the next daemon goes on with them."""
    row = Row(times=scale.of(2, 20))
    dice = random.Random(8)
    disk = folder / "disk"
    more = "".join(
        MORE.format(name) + f'record = {{ directory = "{disk}", format = "{name}" }}\n'
        for name in TORN_FORMATS[1:]
    )
    with SlcanBus(folder, rate=RATE, keys=f'record = {{ directory = "{disk}" }}', more_buses=more) as bus:
        lives = Lives(bus, row)
        for _ in range(row.times):
            ports = {found["name"]: found["port"] for found in bus.daemon.status()["buses"]}
            poll(lambda: recording(bus)["frames"] > RATE / 4, what="frames are recorded")
            begin = numbers_in(disk, "a", newest=True)[0]
            first = bus.seen.last
            poll(lambda: bus.seen.last > first + RATE, what="a second of frames")  # noqa: B023
            safe = bus.seen.last
            # Before each report, the recorder puts on the disk all that it reports.
            poll(lambda: recording(bus)["frames"] > safe - begin, what="a report of the recorder")  # noqa: B023
            before = {file: file.stat().st_size for file in disk.iterdir()}
            poll(lambda: bus.seen.last > safe + RATE / 2, what="frames after it")  # noqa: B023
            lives.note_losses()
            fault_s = time.monotonic()
            for pid in session(lives.leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            lives.kill()
            for file, size in before.items():
                os.truncate(file, dice.randint(size, file.stat().st_size))
            tear_ports(folder / "state", dice)
            lives.start()
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            after = {found["name"]: found["port"] for found in bus.daemon.status()["buses"]}
            row.expect(after == ports, f"ports are {after}, and were {ports}")
            kept = sum(first < number <= safe for number in numbers_in(disk, "a"))
            row.accounts.append(Account(safe - first, kept, rate=RATE))
            row.mistakes += misread(disk)
        bus.account()
        row.mistakes += bus.seen.mistakes()
    row.note = "the account has the frames that the recorder had reported; later ones are lost"
    return row


@contextlib.contextmanager
def recorded_bus(folder: Path, disk: Path, *, rate: float = RATE, keys: str = "") -> Iterator[WatchedBus]:
    record = f'record = {{ directory = "{disk}", rotate_mb = 1 }}\n'
    with SlcanBus(folder, rate=rate, keys=record + keys) as bus:
        poll(lambda: recording(bus)["frames"], what="frames are recorded")
        yield bus


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a small file system of its own over a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "drill", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def recording(bus: WatchedBus) -> dict[str, Any]:
    found: dict[str, Any] = bus.status()["recording"]
    return found


def wait_stopped(bus: WatchedBus) -> dict[str, Any]:
    poll(lambda: recording(bus)["state"] == "stopped", what="recording has stopped")
    return recording(bus)


def recorders(bus: WatchedBus) -> list[psutil.Process]:
    return psutil.Process(bus.pid).children()


def wait_recording(row: Row, bus: WatchedBus) -> None:
    """Wait until frames that come from now on are recorded."""
    began_s = time.monotonic()
    mark = recording(bus)["frames"]
    poll(
        lambda: not recording(bus)["reason"] and recording(bus)["frames"] > mark + RATE / 10,
        what="frames are recorded again",
    )
    row.recoveries_s.append(time.monotonic() - began_s)
    limit_s = busy_limit_s(GOES_ON_WITHIN_S)
    row.expect(row.recoveries_s[-1] < limit_s, f"recording went on after {row.recoveries_s[-1]:.1f} s")


def finish(row: Row, bus: WatchedBus, disk: Path) -> None:
    """Account for the viewer and for the recordings: a frame is in a file, or counted as dropped."""
    row.accounts.append(bus.account())
    row.mistakes += bus.seen.mistakes()
    row.expect(bus.seen.connections == 1, "the viewer was disconnected")
    received = bus.status()["frames"]["received"]

    def written() -> bool:
        counts = recording(bus)
        return bool(counts["frames"] + counts["dropped"] == received)

    poll(written, what="each frame is written, or counted as dropped")
    assert bus.daemon.ctl("stop", "a").returncode == 0
    dropped = recording(bus)["dropped"]
    poll(lambda: len(numbers_in(disk, "a")) >= received - dropped, what="all frames in the files")
    numbers = numbers_in(disk, "a")
    row.expect(numbers == sorted(set(numbers)), "frames in the files are doubled, or not in order")
    row.accounts.append(Account(received, len(numbers), {"recorder": dropped}, bus.rate))


def numbers_in(disk: Path, bus: str, *, newest: bool = False) -> list[int]:
    """Return the numbers of the frames in all files of a bus, in their order, or in its newest file."""
    return [
        int.from_bytes(entry.data)
        for file in sorted(disk.glob(f"{bus}-*"))[-1 if newest else 0 :]
        for entry in entries(file)
        if isinstance(entry, LogFrame)
    ]


def entries(file: Path) -> Iterator[object]:
    with contextlib.suppress(LogEnd):
        yield from open_log(str(file)).entries


def misread(disk: Path) -> list[str]:
    """Return the files with a frame that was never on the bus."""
    wrong = []
    for file in sorted(disk.iterdir()):
        frames = [entry for entry in entries(file) if isinstance(entry, LogFrame)]
        numbers = [int.from_bytes(frame.data) for frame in frames]
        if any(len(frame.data) != 8 for frame in frames) or any(
            b != a + 1 for a, b in itertools.pairwise(numbers)
        ):
            wrong.append(f"{file.name} is misread")
    return wrong


def tear_ports(state_dir: Path, dice: random.Random) -> None:
    """Leave a torn file beside ports.toml, as a power cut while it is written."""
    whole = (state_dir / "ports.toml").read_bytes()
    assert tomllib.loads(whole.decode())["ports"]
    (state_dir / "ports.new").write_bytes(whole[: dice.randrange(len(whole))])


DRILLS = (
    Drill("full", "the disk of recordings is full", full),
    Drill("read-only", "recordings and ports are read-only", read_only),
    Drill("hanging", "the file system does not answer", hanging),
    Drill("slow", "the disk is slower than the bus", slow),
    Drill("torn", "all is killed, and files end at a random place", torn),
)
