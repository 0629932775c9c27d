"""Readers of the daemon's output that stand still or are gone, and an environment that makes no sense."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.support.harness import PATIENCE_S, ROOT, Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUS = """
[bus.a]
interface = "mock"
start = "always"
"""


class PipedDaemon(Daemon):
    """A daemon whose output is the pipe `errors`, which is small and not read by itself."""

    errors = -1

    def __init__(self, folder: Path, buses: str, **popen_keys: Any) -> None:
        super().__init__(folder, buses)
        self._popen_keys = popen_keys

    def start(self) -> Self:
        self.errors, theirs = os.pipe()
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
        command = [*self.prefix, sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(self.file)]
        keys = {"stdout": theirs, "stderr": theirs, **self._popen_keys}
        self.process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **keys)
        os.close(theirs)
        try:
            poll(self.answers, what="answer of the daemon")
        except BaseException:
            self.kill()
            raise
        return self

    def read_errors(self) -> str:
        """Return what is in the pipe now, and free its room."""
        os.set_blocking(self.errors, False)
        found = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.errors, 1 << 16):
                found += data
        return found.decode()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        os.close(self.errors)


@pytest.fixture
def clients() -> Iterator[None]:
    yield
    Client.close_all()


def fill_log(daemon: Daemon) -> None:
    """Let the daemon log more than a pipe takes, by reloads that are refused."""
    mistakes = "".join(f'[bus.bad{number}]\ninterface = "nothing"\n' for number in range(80))
    daemon.write(BUS + mistakes)
    for _ in range(2):
        assert daemon.ctl("reload").returncode == 1


@pytest.mark.usefixtures("clients")
def test_a_log_that_nobody_reads_delays_nothing(tmp_path: Path) -> None:
    with PipedDaemon(tmp_path, BUS) as daemon:
        viewer = Client(daemon.wait_port("a"))
        viewer.wait_frames(1)
        fill_log(daemon)
        viewer.wait_more()
        worker = daemon.bus("a")["pid"]
        os.kill(worker, signal.SIGKILL)
        poll(lambda: daemon.bus("a")["pid"] not in (None, worker), what="another worker")
        daemon.write(BUS + BUS.replace("bus.a", "bus.b"))
        assert daemon.ctl("reload").returncode == 0
        daemon.wait_state("b", "running")
        assert daemon.stop() == 0


@pytest.mark.parametrize("closed", [[2], [0, 1, 2]])
def test_closed_standard_streams(tmp_path: Path, closed: list[int]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    with PipedDaemon(tmp_path, BUS, preexec_fn=close) as daemon:
        daemon.wait_state("a", "running")
        assert daemon.process
        for descriptor in closed:
            assert os.readlink(f"/proc/{daemon.process.pid}/fd/{descriptor}") == os.devnull
        assert daemon.stop() == 0


def demo(folder: Path, **keys: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cancorderd.cli.cancorderd", "--demo"],
        cwd=ROOT, env={**os.environ, "XDG_RUNTIME_DIR": str(folder)}, **keys,
    )  # fmt: skip


@pytest.mark.parametrize("reader", ["gone", "standing still"])
def test_a_demo_whose_output_nobody_reads_serves(tmp_path: Path, reader: str) -> None:
    output, theirs = os.pipe()
    if reader == "gone":
        os.close(output)
    else:
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"x" * 4096)
        os.set_blocking(theirs, True)
    process = demo(tmp_path, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    try:
        daemon = Daemon(tmp_path, BUS)
        daemon.socket = tmp_path / "cancorder" / "control.sock"
        poll(lambda: daemon.ctl("status").returncode == 0, what="a demo that runs")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert b"control" not in errors


NONSENSE = {
    "LISTEN_FDS": ["many", "-1", "", "3", "999999999999999999", "9" * 5000, "\x1b[2J"],
    "WATCHDOG_USEC": ["soon", "-1", "1", "9" * 5000, "\x1b[2J"],
    "NOTIFY_SOCKET": ["nowhere", "/" + "x" * 200, "/\x1b[2J"],
    "LISTEN_PID": ["me"],
    "WATCHDOG_PID": ["me"],
    "LISTEN_FDNAMES": ["a:b:c"],
}


@pytest.mark.parametrize("number", [0, 3])  # the unit tests have every value
def test_an_environment_that_makes_no_sense_is_ignored(tmp_path: Path, number: int) -> None:
    values = {key: choices[number % len(choices)] for key, choices in NONSENSE.items()}
    if number % 2:  # each variable is reached only if its process id is right
        del values["LISTEN_PID"], values["WATCHDOG_PID"]
    daemon = PipedDaemon(tmp_path, BUS, env={**os.environ, **values})
    if number % 2:
        daemon.prefix = ["/bin/sh", "-c", 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"', "sh"]
    with daemon:
        daemon.wait_state("a", "running")
        log = daemon.read_errors()
        assert "in the environment is ignored" in log
        assert "control_socket" not in log
        assert "\x1b" not in log
        assert daemon.stop() == 0
