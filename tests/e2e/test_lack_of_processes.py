"""A daemon that may start no further process or thread, or has no address space left, and well again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")

USER = 54321
"""Nobody else's, for the limit is that of all processes of a user."""
MOCK = '[bus.{}]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'
_CAPABILITIES = [f"--{kind}-caps=+dac_override,+dac_read_search" for kind in ("inh", "ambient")]
"""To read the sources wherever they are. The limits are lifted by others alone (CAP_SYS_RESOURCE, CAP_SYS_ADMIN)."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of an ordinary user with the buses a and b; the limits do not hold for root."""
    daemon = Daemon(tmp_path, MOCK.format("a") + MOCK.format("b"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    os.chown(tmp_path, USER, USER)
    daemon.prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *_CAPABILITIES]
    with daemon:
        for bus in "ab":
            daemon.wait_state(bus, "running")
        yield daemon


def prlimit(pid: int, *options: str) -> str:
    """Run prlimit(1) as the daemon's user, who may change the soft limits of its processes."""
    command = [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        "prlimit",
        "--pid",
        str(pid),
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def limited(pid: int, kind: str, value: int) -> Iterator[None]:
    """Limit a process that runs. The limit must let it live."""
    hard = prlimit(pid, f"--{kind}", "--output", "HARD", "--noheadings", "--raw")
    prlimit(pid, f"--{kind}={value}:")
    try:
        yield
    finally:
        prlimit(pid, f"--{kind}={hard}:")


def test_a_daemon_that_may_start_no_process_says_so_and_the_bus_comes_back(running: Daemon) -> None:
    assert running.process
    other = running.bus("b")["pid"]
    worker = running.bus("a")["pid"]
    with Client(running.bus("b")["port"]) as viewer:
        with limited(running.process.pid, "nproc", 1):
            os.kill(worker, signal.SIGKILL)
            failed = running.wait_state("a", "failed")
            assert "no further process is allowed. Raise the limit (TasksMax=, ulimit -u)" in failed["reason"]
            done = running.ctl("reload")
            assert done.returncode == 1
            assert (
                "it cannot be read: no further thread is allowed. Raise the limit"
                in done.stdout + done.stderr
            )
            assert running.ctl("start", "a").returncode == 1
            running.socket.unlink()  # nobody can look at the path; it is made again afterwards
            viewer.wait_more()
        poll(running.answers, what="the control socket is back")
        back = running.wait_state("a", "running")
        assert back["pid"] != worker
        viewer.wait_more()
        assert running.bus("b")["pid"] == other
    assert "Traceback" not in running.log.read_text()
    assert running.stop() == 0


def test_a_daemon_without_address_space_goes_on_and_the_bus_comes_back(running: Daemon) -> None:
    assert running.process
    other = running.bus("b")["pid"]
    worker = running.bus("a")["pid"]
    with Client(running.bus("b")["port"]) as viewer:
        size = psutil.Process(running.process.pid).memory_info().vms
        with limited(running.process.pid, "as", size):
            os.kill(worker, signal.SIGKILL)
            poll(
                lambda: running.bus("a")["restarts"] or running.bus("a")["state"] == "failed",
                what="a failure",
            )
            viewer.wait_more()
            assert running.status()
        running.ctl("start", "a")
        running.wait_state("a", "running")
        viewer.wait_more()
        assert running.bus("b")["pid"] == other
    assert running.stop() == 0
