"""Frames around the end of a worker: those that have arrived are delivered, those that it took along are estimated."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import Sender, numbers, slcan_line
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATE = 2000


def slcan(tmp_path: Path, more: str = "") -> str:
    return f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n{more}'


def received(daemon: Daemon) -> int:
    count: int = daemon.bus("a")["frames"]["received"]
    return count


def kill_worker(daemon: Daemon) -> None:
    worker = daemon.bus("a")["pid"]
    os.kill(worker, signal.SIGKILL)
    poll(lambda: daemon.bus("a")["pid"] not in (worker, None), what="the next worker")


def end_after_frames_have_arrived(daemon: Daemon, adapter: SlcanPort, first: int, count: int) -> None:
    """Let frames arrive while the worker stands still; then it ends in order, and the next one starts."""
    worker = daemon.bus("a")["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        for number in range(first, first + count):
            adapter.write(slcan_line(number))
        os.kill(worker, signal.SIGTERM)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    poll(lambda: daemon.bus("a")["pid"] not in (worker, None), what="the next worker")


def test_end_in_order_delivers_the_frames_that_have_arrived(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan(tmp_path))
        port = running.wait_state("a", "running")["port"]
        with Client(port) as viewer:
            poll(lambda: len(running.bus("a")["clients"]) == 1, what="the viewer is connected")
            for turn in range(3):
                running.wait_state("a", "running")
                poll(adapter.opened.is_set, what="the channel is open")
                end_after_frames_have_arrived(running, adapter, 100 * turn, 100)
            frames = viewer.wait_frames(300)
        assert numbers(frames) == list(range(300))
        assert received(running) == 300
        assert running.bus("a")["lost"]["unknown"] == 0


def test_frames_that_a_killed_worker_took_along_are_estimated(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan(tmp_path))
        running.wait_state("a", "running")
        with Sender(lambda number: adapter.write(slcan_line(number)), RATE) as sender:
            poll(lambda: running.bus("a")["frames"]["per_second"] > 0.9 * RATE, what="the rate")
            kill_worker(running)
            bus = running.wait_state("a", "running")
            poll(lambda: received(running) > bus["frames"]["received"], what="frames of the next worker")
        missing = poll(lambda: _settled(running, sender), what="all counts")
        unknown = running.bus("a")["lost"]["unknown"]
        assert 0 < unknown <= 2 * missing + RATE
        assert unknown >= missing - RATE // 2
        assert f"up to {unknown}" in running.ctl("status").stdout


def _settled(running: Daemon, sender: Sender) -> int:
    """Return the missing frames when the count stands still."""
    before = received(running)
    return (
        sender.sent - before
        if running.bus("a")["frames"]["per_second"] == 0 == received(running) - before
        else 0
    )


def test_nothing_is_unknown_while_the_adapter_is_absent(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan(tmp_path))
        running.wait_state("a", "running")
        with Sender(lambda number: adapter.write(slcan_line(number)), RATE):
            poll(lambda: running.bus("a")["frames"]["per_second"] > 0.5 * RATE, what="the rate")
            adapter.unplug()
        running.wait_state("a", "waiting")
        kill_worker(running)
        running.wait_state("a", "waiting")
        adapter.plug()
        bus = running.wait_state("a", "running")
        assert bus["lost"]["unknown"] == 0


@pytest.mark.parametrize("end", ["stop", "restart"])
def test_orders_lose_nothing(end: str, daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan(tmp_path))
        running.wait_state("a", "running")
        for number in range(200):
            adapter.write(slcan_line(number))
        running.ctl(end, "a")
        running.ctl("start", "a")
        bus: dict[str, Any] = running.wait_state("a", "running")
        assert (bus["frames"]["received"], bus["lost"]["unknown"]) == (200, 0)
