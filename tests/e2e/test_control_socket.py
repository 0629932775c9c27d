"""The control socket of a running daemon: made again if it was removed, and never taken from another."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import ROOT, Client, Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path

BUS = '[bus.a]\ninterface = "mock"\nstart = "always"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, BUS)


def start_another(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run a second daemon with the same file, which ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(daemon.file)],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip


def test_removed_socket_and_lock_are_made_again_and_clients_notice_nothing(daemon: Daemon) -> None:
    with daemon, Client(daemon.wait_port("a")) as client:
        daemon.socket.unlink()
        daemon.socket.with_name("control.sock.lock").unlink()
        poll(lambda: daemon.ctl("status").returncode == 0, what="an answer")
        assert "another cancorderd has this control socket" in start_another(daemon).stderr
        assert daemon.ctl("restart", "a").returncode == 0
        client.wait_more()
        assert not client.ended
    assert not daemon.socket.exists()
    assert daemon.log.read_text().count("the control socket was removed by another program") == 1


def test_file_in_the_place_of_the_socket_stays_and_buses_run_on(daemon: Daemon) -> None:
    with daemon, Client(daemon.wait_port("a")) as client:
        daemon.socket.unlink()
        daemon.socket.write_text("precious")
        poll(lambda: "cannot be opened again" in daemon.log.read_text(), what="a line in the log")
        client.wait_more()
        daemon.socket.unlink()
        poll(lambda: daemon.ctl("status").returncode == 0, what="an answer")
        daemon.socket.unlink()
        daemon.socket.write_text("precious")
    assert daemon.socket.read_text() == "precious"


def test_file_at_the_path_is_not_deleted_at_the_start(daemon: Daemon) -> None:
    daemon.socket.write_text("precious")
    done = start_another(daemon)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"{daemon.socket}: this is a file, not a socket. Move it away, or set daemon.control_socket to another path."
    )
    assert daemon.socket.read_text() == "precious"


def test_killed_daemons_socket_is_replaced(daemon: Daemon) -> None:
    daemon.start().kill()
    assert daemon.socket.is_socket()
    with daemon:
        daemon.wait_state("a", "running")
