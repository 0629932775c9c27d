"""Each frame that a recorded bus received is written or dropped, whichever process ends first."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import Sender, slcan_line
from tests.support.recorded_files import recorded
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def flood(folder: Path, more: str = "rate = 20000\n") -> str:
    return f'[bus.m]\ninterface = "mock"\nstart = "always"\n{more}record.directory = "{folder}"\n'


def counts(daemon: Daemon, name: str = "m") -> tuple[int, int, int, int]:
    """Return the frames received, recorded, dropped, and possibly lost."""
    bus = daemon.bus(name)
    shown = bus["recording"]
    return bus["frames"]["received"], shown["frames"], shown["dropped"], bus["lost"]["unknown"]


def recorder_of(daemon: Daemon, name: str = "m") -> psutil.Process:
    worker = daemon.bus(name)["pid"]
    (found,) = poll(lambda: psutil.Process(worker).children(), what="a recorder")
    return found


def wait_balance(daemon: Daemon, name: str = "m") -> tuple[int, int]:
    """Wait until each frame that was received is recorded or dropped; return these two numbers."""

    def balanced() -> tuple[int, int] | None:
        received, written, dropped, _ = counts(daemon, name)
        return (written, dropped) if received and written + dropped == received else None

    try:
        return poll(balanced, 30, "recorded + dropped = received")  # type: ignore[return-value]
    except AssertionError as error:
        raise AssertionError(f"{error}: {counts(daemon, name)}") from None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "r"
    Client.close_all()


@pytest.fixture
def resumed() -> Iterator[list[psutil.Process]]:
    """Processes to resume at the end, if the test did not."""
    stopped: list[psutil.Process] = []
    yield stopped
    for process in stopped:
        if process.is_running():
            process.resume()


@pytest.mark.parametrize("verb", ["stop", "restart", "reload", "kill"])
def test_recorder_that_outlives_its_worker_reports_its_frames(
    verb: str, daemon: Callable[[str], Daemon], folder: Path, resumed: list[psutil.Process]
) -> None:
    running = daemon(flood(folder, "rate = 20000\nclient_backlog = 200000\n"))
    running.wait_state("m", "running")
    poll(lambda: counts(running)[1] > 1000, what="recorded frames")
    recorder = recorder_of(running)
    recorder.suspend()
    resumed.append(recorder)
    poll(lambda: counts(running)[2] > 1000, what="a backlog that drops frames")
    before = counts(running)
    worker = running.bus("m")["pid"]
    if verb == "reload":
        running.write(flood(folder, "rate = 20000\nclient_backlog = 300000\n"))
        assert running.ctl("reload").returncode == 0
    elif verb == "kill":
        os.kill(worker, signal.SIGKILL)
        poll(lambda: running.bus("m")["pid"] not in (worker, None), what="the next worker")
    else:
        assert running.ctl(verb, "m").returncode == 0
    if verb != "restart":
        assert running.ctl("stop", "m").returncode == 0
    # The kernel may have resumed it: the end of its parent has orphaned its process group (setpgid(2)).
    with contextlib.suppress(psutil.NoSuchProcess):
        recorder.resume()
    poll(lambda: counts(running)[1] > before[1], what="frames that the recorder still had")
    assert running.ctl("stop", "m").returncode == 0
    written, dropped = wait_balance(running)
    assert dropped > 1000
    assert len(recorded(folder)) == written, "the counter and the files agree"


def test_every_frame_of_a_bus_that_starts_and_stops_is_recorded(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    running = daemon(flood(folder, "rate = 5000\n"))
    for turn in range(2):
        running.wait_state("m", "running")
        poll(lambda turn=turn: counts(running)[1] > 500 * (turn + 1), what="recorded frames")  # type: ignore[misc]
        running.ctl("restart", "m")
    running.ctl("stop", "m")
    written, dropped = wait_balance(running)
    assert dropped == 0
    assert len(recorded(folder)) == written


def test_lost_adapter_costs_no_frame_that_was_received(
    daemon: Callable[[str], Daemon], folder: Path, tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nrecord.directory = "{folder}"\n'
        )
        for _ in range(2):
            running.wait_state("a", "running")
            before = counts(running, "a")[0]
            with Sender(lambda number: adapter.write(slcan_line(number)), 4000):
                poll(lambda before=before: counts(running, "a")[0] > before + 1000, what="frames")  # type: ignore[misc]
                adapter.unplug()
            running.wait_state("a", "waiting")
            adapter.plug()
        running.wait_state("a", "running")
        written, dropped = wait_balance(running, "a")
    assert dropped == 0
    running.stop()
    assert len(recorded(folder)) == written


def test_killed_worker_leaves_at_most_the_unknown_frames_uncounted(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    running = daemon(flood(folder, "rate = 5000\n"))
    for turn in range(2):
        worker = running.wait_state("m", "running")["pid"]
        poll(lambda turn=turn: counts(running)[1] > 5000 * (turn + 1), what="a report with a rate")  # type: ignore[misc]
        os.kill(worker, signal.SIGKILL)
        poll(lambda worker=worker: running.bus("m")["pid"] not in (worker, None), what="the next worker")  # type: ignore[misc]
    running.wait_state("m", "running")
    running.ctl("stop", "m")
    poll(lambda: len(recorded(folder)) == counts(running)[1], what="the counter and the files agree")
    received, written, dropped, unknown = counts(running)
    assert abs(written + dropped - received) <= unknown
    assert unknown > 0


def test_killed_recorder_leaves_every_frame_counted(daemon: Callable[[str], Daemon], folder: Path) -> None:
    running = daemon(flood(folder, "rate = 5000\n"))
    running.wait_state("m", "running")
    poll(lambda: counts(running)[1] > 3000, what="recorded frames")
    recorder_of(running).kill()
    running.ctl("stop", "m")
    written, _ = wait_balance(running)
    assert len(recorded(folder)) >= written
    running.ctl("start", "m")
    poll(lambda: counts(running)[1] > written + 1000, what="more frames")
    running.ctl("stop", "m")
    wait_balance(running)
