"""A daemon and its workers without descriptors, processes or their program, and well again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.descriptors import limited
from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Callable

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def processor_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def test_supervisor_without_descriptors_says_so_and_the_bus_comes_back(
    daemon: Callable[[str], Daemon],
) -> None:
    running = daemon(MOCK)
    assert running.process
    worker = running.wait_state("mock", "running")
    with limited(running.process.pid, 2):  # as many as an answer to `status` needs
        os.kill(worker["pid"], signal.SIGKILL)
        failed = running.wait_state("mock", "failed")
        assert "the daemon has used up its descriptors. Raise the limit of open files" in failed["reason"]
        running.wait_log("used up its descriptors")
        for verb in ("restart", "start"):
            assert running.ctl(verb, "mock").returncode == 1, verb
    running.wait_state("mock", "running")
    with Client(running.bus("mock")["port"]) as viewer:
        viewer.wait_frames(5)
    assert running.ctl("stop", "mock").returncode == 0
    assert running.stop() == 0


def test_silent_connections_on_the_control_socket_cost_no_bus(tmp_path: Path) -> None:
    running = Daemon(tmp_path, MOCK)
    running.prefix = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    with running, contextlib.ExitStack() as silent:
        worker = running.wait_state("mock", "running")
        for _ in range(100):
            connection = silent.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(20)
            connection.connect(str(running.socket))
        os.kill(worker["pid"], signal.SIGKILL)
        poll(lambda: running.bus("mock")["pid"] not in (None, worker["pid"]), what="another worker")
        running.wait_state("mock", "running")
        for verb in ("restart", "stop", "start"):
            assert running.ctl(verb, "mock").returncode == 0, verb


def test_worker_without_descriptors_waits_for_one(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    bus = running.wait_state("mock", "running")
    worker = psutil.Process(bus["pid"])
    with Client(bus["port"]) as viewer:
        viewer.wait_frames(5)
        with limited(worker.pid, 0):
            waiting = [Client(bus["port"]) for _ in range(3)]
            viewer.wait_more()
            before_s, newest_us = processor_s(worker), viewer.frames[-1].timestamp_us
            poll(lambda: viewer.frames[-1].timestamp_us > newest_us + 2_000_000, what="frames of two seconds")
            assert processor_s(worker) - before_s < 0.5, "the worker spins"
            viewer.wait_more()
            assert "cannot be accepted at present: Too many open files" in running.ctl("events").stdout
        for client in waiting:
            client.wait_frames(5)
        assert running.bus("mock")["pid"] == worker.pid


def test_python_that_is_gone_is_the_reason_and_the_bus_comes_back(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    packages = os.pathsep.join(filter(None, sys.path))
    with contextlib.ExitStack() as stack:
        running = Daemon(tmp_path, MOCK)
        running.prefix = ["env", f"PYTHONPATH={packages}", str(python), "-c", _RUN_AS_THIS_PYTHON]
        stack.enter_context(running)
        worker = running.wait_state("mock", "running")
        python.unlink()
        os.kill(worker["pid"], signal.SIGKILL)
        failed = running.wait_state("mock", "failed")
        assert failed["reason"] == (
            "the worker cannot be started: its program is gone. Install cancorderd again, and restart it "
            f"({python}: No such file or directory)."
        )
        running.wait_log(str(python))
        python.symlink_to(Path(sys.executable).resolve())
        running.wait_state("mock", "running")


_RUN_AS_THIS_PYTHON = """
import runpy, sys
sys.argv[:] = sys.argv[3:]  # the harness's Python, -m and the module
runpy.run_module("cancorderd.cli.cancorderd", run_name="__main__", alter_sys=True)
"""


def test_more_buses_than_descriptors_run_as_far_as_they_go_and_the_others_follow(tmp_path: Path) -> None:
    running = Daemon(tmp_path, "".join(MOCK.replace("mock]", f"m{number}]") for number in range(12)))
    running.prefix = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"]
    with running:
        states = [bus["state"] for bus in running.status()["buses"]]
        assert "failed" in states
        run = [bus["name"] for bus in running.status()["buses"] if bus["state"] != "failed"]
        assert run
        running.wait_state(run[0], "running")
        refused = next(bus for bus in running.status()["buses"] if bus["state"] == "failed")
        assert "Too many open files" in refused["reason"]
        for name in run:
            assert running.ctl("stop", name).returncode == 0
        running.wait_state(refused["name"], "running")
        assert running.stop() == 0
