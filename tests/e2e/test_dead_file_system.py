"""File systems that do not answer any more, with the real daemon: buses serve, commands are answered, the end comes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.dead_file_system import AVAILABLE, dead_file_system
from tests.support.harness import ROOT, Client, Daemon, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.dead_file_system import DeadFileSystem

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="needs root and /dev/fuse")

MOCK = '[bus.{}]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[DeadFileSystem]:
    """A file system that can stop answering, at the folder `dead`."""
    folder = tmp_path / "dead"
    folder.mkdir()
    with dead_file_system(folder) as served:
        yield served


def daemon_with(folder: Path, key: str, path: Path) -> Daemon:
    """Return a daemon whose state or control socket has another path."""
    daemon = Daemon(folder, MOCK.format("a"))
    own = {"state_dir": folder / "state", "control_socket": daemon.socket}[key]
    daemon._head = daemon._head.replace(f'{key} = "{own}"', f'{key} = "{path}"')
    daemon.write(MOCK.format("a"))
    if key == "control_socket":
        daemon.socket = path
    return daemon


def test_ports_that_cannot_be_written_hold_nothing_up(tmp_path: Path, dead: DeadFileSystem) -> None:
    running = daemon_with(tmp_path, "state_dir", tmp_path / "dead" / "state")
    with running, Client(running.wait_port("a")) as viewer:
        viewer.wait_frames(5)
        dead.stop_answering()
        running.write(MOCK.format("a") + MOCK.format("b"))  # a new bus, whose port is to be kept
        assert running.ctl("reload").returncode == 0
        poll(dead.is_waited_for, what="the file system is waited for")
        with Client(running.wait_port("b")) as other:
            other.wait_frames(5)
        viewer.wait_more()
        poll(
            lambda: "ports.toml: the file system does not answer" in running.log.read_text(), what="a warning"
        )
        assert running.ctl("restart", "b").returncode == 0
        assert running.bus("a")["restarts"] == 0
        began_s = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began_s < busy_limit_s(6)


def test_ports_that_cannot_be_read_hold_nothing_up(tmp_path: Path, dead: DeadFileSystem) -> None:
    dead.stop_answering()
    running = daemon_with(tmp_path, "state_dir", tmp_path / "dead" / "state")
    with running, Client(running.wait_port("a")) as viewer:
        viewer.wait_frames(5)
        running.wait_log("does not answer: buses without port get new ports")
        assert running.stop() == 0


def test_a_control_socket_that_cannot_be_looked_at_costs_no_bus(tmp_path: Path) -> None:
    """The folder with the socket is on a file system that is covered by a dead one, as by a mount over it."""
    folder = tmp_path / "run"
    folder.mkdir()
    running = daemon_with(tmp_path, "control_socket", folder / "control.sock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(running)
        viewer = stack.enter_context(Client(running.wait_port("a")))
        worker = running.bus("a")["pid"]
        dead = stack.enter_context(dead_file_system(folder))
        dead.stop_answering()
        poll(dead.is_waited_for, what="the file system is waited for")
        warning = "control.sock: the file system does not answer. Buses are not affected"
        poll(lambda: warning in running.log.read_text(), what="a warning")
        viewer.wait_more()
        assert running.process
        assert running.workers()[0].pid == worker
        began_s = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began_s < busy_limit_s(5)


@pytest.mark.parametrize("key", ["control_socket", "configuration"])
def test_a_start_without_an_answer_ends_with_the_reason(
    tmp_path: Path, dead: DeadFileSystem, key: str
) -> None:
    dead.stop_answering()
    if key == "configuration":
        file = tmp_path / "dead" / "cancorder.toml"
        reason = f"{file}: reading it and the files that it includes takes longer than 5 s"
    else:
        running = daemon_with(tmp_path, key, tmp_path / "dead" / "control.sock")
        file = running.file
        reason = (
            f"{running.socket}: the file system does not answer. Set daemon.control_socket to another path."
        )
    done = subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(file)],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert reason in done.stderr


def test_process_1_of_a_container_ends_when_told_to_while_it_waits_for_its_configuration(
    tmp_path: Path, dead: DeadFileSystem
) -> None:
    file = tmp_path / "dead" / "cancorder.toml"
    assert not file.exists()  # it answers, so that no earlier request is in the way
    dead.stop_answering()
    container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    daemon = [sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(file)]
    with subprocess.Popen([*container, *daemon], cwd=ROOT) as outside:
        try:
            poll(dead.is_waited_for, what="the file system is waited for")
            (inside,) = psutil.Process(outside.pid).children()
            inside.terminate()
            assert outside.wait(60) == 0
        finally:
            outside.kill()
