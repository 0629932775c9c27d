"""The supervisor and its workers: whatever holds a worker's sockets, or leaves while no worker has them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.numbered_frames import Sender, slcan_line
from tests.support.python_can_driver import driver
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'
OWN = '[bus.own]\ninterface = "own"\nchannel = "1"\n'


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_clients_that_reset_while_no_worker_runs_cost_nobody_else(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nallow = ["127.0.0.0/8"]\n'
        )
        port = running.wait_state("a", "running")["port"]
        with Client(port) as viewer, Sender(lambda number: adapter.write(slcan_line(number)), 500):
            viewer.wait_frames(10)
            for round_ in range(4):
                leaving = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
                poll(lambda: len(running.bus("a")["clients"]) == 4, what="all are connected")
                adapter.unplug()
                for client, delay_s in zip(leaving, (0.0, 0.1, 0.1), strict=True):
                    time.sleep(delay_s)  # at different moments of the hand-over
                    reset(client)
                adapter.plug()
                viewer.wait_more()
                poll(lambda: len(running.bus("a")["clients"]) == 1, what="only the viewer is left")
                assert running.bus("a")["state"] == "running", round_
        assert "Traceback" not in running.log.read_text()


HELPERS = {
    "a command": 'os.system("sleep 1000 &")',
    "a program": 'subprocess.Popen(["sleep", "1000"], close_fds=False)',
    "a fork": "if os.fork() == 0:\n            time.sleep(1000)\n            os._exit(0)",
}


def helpers_of(worker: int) -> list[psutil.Process]:
    """The other processes in the worker's process group: `sh` leaves its own child to init."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(ProcessLookupError):
            if process.pid != worker and os.getpgid(process.pid) == worker and process.info["name"] != "sh":
                found.append(process)
    return found


@contextlib.contextmanager
def ended_at_the_end() -> Iterator[list[psutil.Process]]:
    """Yield a list of processes to kill."""
    processes: list[psutil.Process] = []
    yield processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("helper", HELPERS)
def test_helper_of_a_driver_keeps_no_socket_and_no_bus_from_going_on(
    daemon: Callable[[str], Daemon], tmp_path: Path, helper: str
) -> None:
    with ended_at_the_end() as helpers, driver(tmp_path, HELPERS[helper]):
        running = daemon(OWN + MOCK)
        own = running.wait_state("own", "running")
        helpers += poll(lambda: helpers_of(own["pid"]), what="the helper runs")
        with (
            Client(running.wait_port("mock")) as other,
            socket.create_connection(("127.0.0.1", own["port"])) as viewer,
        ):
            poll(lambda: len(running.bus("own")["clients"]) == 1, what="a client")
            kept = [os.readlink(path) for path in _descriptors(helpers[0].pid)]
            assert not [target for target in kept if target.startswith("socket:")] or helper == "a fork"
            os.kill(own["pid"], signal.SIGKILL)
            viewer.settimeout(20)
            while viewer.recv(65536):  # the helper does not keep the connection open
                pass
            assert running.process
            supervisor = psutil.Process(running.process.pid)
            before_s = sum(supervisor.cpu_times()[:2])
            other.wait_more()
            back = poll(lambda: _new_worker(running, own["pid"]), what="the bus is back")
            helpers += poll(lambda: helpers_of(back), what="the next helper runs")
            other.wait_more()
            assert sum(supervisor.cpu_times()[:2]) - before_s < 1, "the supervisor spins"
        assert running.ctl("restart", "own").returncode == 0
        helpers += helpers_of(running.bus("own")["pid"])
        assert running.stop() == 0


FORK_IN_C = """import ctypes
        if ctypes.CDLL(None).fork() == 0:
            ctypes.CDLL(None).sleep(1000)
            os._exit(0)"""


@pytest.mark.parametrize("end", ["killed", "stopped", "without supervisor"])
def test_a_fork_in_c_ends_with_its_worker(daemon: Callable[[str], Daemon], tmp_path: Path, end: str) -> None:
    with ended_at_the_end() as helpers, driver(tmp_path, FORK_IN_C):
        running = daemon(OWN)
        own = running.wait_state("own", "running")
        helpers += poll(lambda: helpers_of(own["pid"]), what="the fork runs")
        with socket.create_connection(("127.0.0.1", own["port"])) as viewer:
            poll(lambda: len(running.bus("own")["clients"]) == 1, what="a client")
            if end == "killed":
                os.kill(own["pid"], signal.SIGKILL)
            elif end == "stopped":
                assert running.ctl("stop", "own").returncode == 0
            else:
                running.kill()
            viewer.settimeout(20)
            while viewer.recv(65536):  # the fork does not keep the connection open
                pass
        poll(lambda: not helpers_of(own["pid"]), what="the fork has ended")
        if end == "without supervisor":
            running.start()
        elif end == "stopped":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", own["port"]))
            assert running.ctl("start", "own").returncode == 0
        back = running.wait_state("own", "running")
        assert back["port"] == own["port"]
        with Client(back["port"]) as viewer_again:
            viewer_again.wait_frames(5)
        helpers += helpers_of(running.bus("own")["pid"])
        assert running.stop() == 0


def _descriptors(pid: int) -> list[str]:
    return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2]


def _new_worker(daemon: Daemon, before: int) -> int:
    bus = daemon.bus("own")
    return bus["pid"] if bus["state"] == "running" and bus["pid"] != before else 0
