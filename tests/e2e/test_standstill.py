"""Processes that stand still (SIGSTOP, as a paused container, a debugger or Ctrl+Z) and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import Sender, numbers, slcan_line
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WATCHDOG_S = 2.0
STANDSTILL_S = 3.0
FREEZER = Path("/sys/fs/cgroup/freezer")
MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\nwatchdog = 2\n'


@contextlib.contextmanager
def stopped(*pids: int, seconds: float = STANDSTILL_S) -> Iterator[float]:
    """Stop processes, run the body, and let them go on when `seconds` have passed since they stood still.

    Yields the time before which none goes on.
    """
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        poll(
            lambda: all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids),
            what="a standstill",
        )
        end_s = time.monotonic() + seconds
        yield end_s
        poll(lambda: time.monotonic() > end_s, what="the end of the standstill")
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen(*pids: int, seconds: float = STANDSTILL_S) -> Iterator[None]:
    """Let the processes stand still in a cgroup of their own, as `docker pause` and `systemctl freeze` do."""
    group = Path(tempfile.mkdtemp(dir=FREEZER))
    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        poll(lambda: (group / "freezer.state").read_text().strip() == "FROZEN", what="a standstill")
        end_s = time.monotonic() + seconds
        yield
        poll(lambda: time.monotonic() > end_s, what="the end of the standstill")
    finally:
        (group / "freezer.state").write_text("THAWED")
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (FREEZER / "cgroup.procs").write_text(left)
        poll(lambda: not (group / "cgroup.procs").read_text(), what="an empty cgroup")
        group.rmdir()


@pytest.mark.skipif(not os.access(FREEZER, os.W_OK), reason="needs a freezer of cgroup version 1")
def test_frozen_processes_go_on_and_nothing_is_lost(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        slcan = f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nwatchdog = 2\n'
        recorded = MOCK.replace("bus.mock", "bus.recorded") + 'record = {format = "log"}\n'
        running = daemon(slcan + MOCK + recorded)
        before = {name: running.wait_state(name, "running") for name in ("a", "mock", "recorded")}
        family = psutil.Process(supervisor(running))
        with (
            Client(before["a"]["port"]) as viewer,
            Sender(lambda number: adapter.write(slcan_line(number)), 100) as sender,
        ):
            viewer.wait_frames(20)
            with frozen(family.pid, *(child.pid for child in family.children(recursive=True))):
                pass
            wait_rounds(running)
            sender.stop()
            viewer.wait_frames(sender.sent)
            assert numbers(viewer.frames) == list(range(sender.sent))
        for name, bus in before.items():
            after = running.bus(name)
            assert (after["pid"], after["restarts"], after["state"]) == (bus["pid"], 0, "running")


def supervisor(running: Daemon) -> int:
    assert running.process
    return running.process.pid


def wait_rounds(running: Daemon) -> None:
    """Wait until the supervisor has judged its workers again, a whole watchdog long, and a bit longer."""
    begin_s = time.monotonic()
    poll(lambda: time.monotonic() > begin_s + WATCHDOG_S + 0.5 and running.status())


@pytest.mark.parametrize("who", ["supervisor", "all"])
def test_a_standstill_costs_no_worker_and_no_frame(
    daemon: Callable[[str], Daemon], tmp_path: Path, who: str
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        slcan = f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nwatchdog = 2\n'
        running = daemon(slcan + MOCK + MOCK.replace("bus.mock", "bus.more"))
        before = {name: running.wait_state(name, "running") for name in ("a", "mock", "more")}
        workers = [bus["pid"] for bus in before.values()] if who == "all" else []
        with (
            Client(before["a"]["port"]) as viewer,
            Sender(lambda number: adapter.write(slcan_line(number)), 100) as sender,
        ):
            viewer.wait_frames(20)
            with stopped(supervisor(running), *workers):
                pass
            wait_rounds(running)
            sender.stop()
            viewer.wait_frames(sender.sent)
            assert numbers(viewer.frames) == list(range(sender.sent))
        for name, bus in before.items():
            after = running.bus(name)
            assert (after["state"], after["pid"], after["restarts"]) == ("running", bus["pid"], 0), name
        running.wait_log("cancorderd stood still for")


def test_a_worker_that_hangs_is_found_after_a_standstill_of_the_supervisor(
    daemon: Callable[[str], Daemon],
) -> None:
    running = daemon(MOCK + MOCK.replace("bus.mock", "bus.more"))
    before = {name: running.wait_state(name, "running") for name in ("mock", "more")}
    os.kill(before["mock"]["pid"], signal.SIGSTOP)
    with stopped(supervisor(running)) as resumed_s:
        pass
    poll(
        lambda: running.bus("mock")["pid"] is None or running.bus("mock")["state"] != "running",
        what="its end",
    )
    assert time.monotonic() - resumed_s > WATCHDOG_S, "the watchdog was granted anew"
    poll(lambda: running.bus("mock")["restarts"] == 1, what="a new worker")
    assert "sent no heartbeat for" in running.bus("mock")["last_error"]
    assert running.bus("more")["pid"] == before["more"]["pid"]


def test_a_worker_that_has_to_end_is_not_killed_for_a_standstill(daemon: Callable[[str], Daemon]) -> None:
    """It still hands its clients over."""
    running = daemon(MOCK)
    worker = running.wait_state("mock", "running")["pid"]
    viewer = Client(running.bus("mock")["port"])
    viewer.wait_frames(1)
    with stopped(worker, seconds=0):
        restart = threading.Thread(target=running.ctl, args=("restart", "mock"))
        restart.start()
        poll(lambda: running.bus("mock")["state"] == "stopping", what="SIGTERM")
        with stopped(supervisor(running)):
            pass
    restart.join()
    after = running.wait_state("mock", "running")
    assert after["pid"] != worker
    viewer.wait_more()
    assert not viewer.ended
    assert "Fatal Python error: Aborted" not in running.log.read_text()


def test_a_supervisor_that_stands_still_gets_the_clients_of_a_worker_that_ends(
    daemon: Callable[[str], Daemon],
) -> None:
    """More than their channel holds: the worker waits with the rest until the supervisor goes on."""
    running = daemon('[bus.flood]\ninterface = "mock"\nrate = 50_000\n')
    bus = running.wait_state("flood", "running")
    viewer = Client(bus["port"], reads=False)
    viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    poll(lambda: any(c["backlog_bytes"] > 2 << 20 for c in running.bus("flood")["clients"]), what="a backlog")
    with stopped(supervisor(running)):
        os.kill(bus["pid"], signal.SIGTERM)
    poll(lambda: running.bus("flood")["restarts"] == 1, what="a new worker")
    address = f"127.0.0.1:{viewer.socket.getsockname()[1]}"
    poll(
        lambda: [client["address"] for client in running.bus("flood")["clients"]] == [address],
        what="the client",
    )
    viewer.start_reading()
    viewer.wait_more()
    assert (viewer.ended, viewer.error) == (False, None)


def test_frames_that_arrived_while_a_worker_stood_still_are_no_silence(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nsilence_timeout = 2.5\n'
            "watchdog = 10\n"
        )
        bus = running.wait_state("a", "running")
        with (
            Client(bus["port"]) as viewer,
            Sender(lambda number: adapter.write(slcan_line(number)), 100) as sender,
        ):
            viewer.wait_frames(20)
            with stopped(bus["pid"]):
                pass
            viewer.wait_more()
            sender.stop()
            viewer.wait_frames(sender.sent)
            assert numbers(viewer.frames) == list(range(sender.sent))
        assert running.bus("a")["pid"] == bus["pid"]


def test_the_silence_of_a_bus_does_not_count_while_its_worker_stands_still(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nsilence_timeout = 2.5\n'
        )
        bus = running.wait_state("a", "running")
        with Client(bus["port"]) as viewer:
            poll(lambda: len(running.bus("a")["clients"]) == 1, what="a connection")
            adapter.write(slcan_line(0))
            viewer.wait_frames(1)
            with stopped(bus["pid"]):
                pass
            resumed_s = time.monotonic()
            poll(lambda: time.monotonic() > resumed_s + 0.5, what="time for the worker to judge")
            adapter.write(slcan_line(1))
            viewer.wait_frames(2)
            assert numbers(viewer.frames) == [0, 1]
        assert running.bus("a")["pid"] == bus["pid"]


def test_a_worker_has_more_time_than_its_watchdog_until_its_first_message(
    daemon: Callable[[str], Daemon],
) -> None:
    """As where many buses start at once, and each gets its share of a processor."""
    running = daemon(MOCK + "enabled = false\n")
    start = threading.Thread(target=running.ctl, args=("start", "mock"))
    start.start()
    (worker,) = poll(running.workers, what="the worker")
    with stopped(worker.pid):
        assert running.bus("mock")["state"] == "starting"
    start.join()
    bus = running.wait_state("mock", "running")
    assert (bus["pid"], bus["restarts"]) == (worker.pid, 0)
