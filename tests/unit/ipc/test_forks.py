"""Forks of a worker that hold its channel end with it; no other process does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

from cancorderd.ipc.forks import end_forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")

_GROUP = """
import ctypes, os, subprocess, sys
helper = subprocess.Popen(["sleep", "1000"])  # without the channel
fork = os.fork()
if fork == 0:
    ctypes.CDLL(None).sleep(1000)
print(helper.pid, fork, flush=True)
sys.stdin.read()
"""


def test_only_those_that_hold_the_channel_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inode = os.fstat(theirs.fileno()).st_ino
        with subprocess.Popen(
            [sys.executable, "-c", _GROUP, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as worker:  # fmt: skip
            assert worker.stdout
            helper, fork = map(int, worker.stdout.readline().split())
            try:
                assert end_forks(worker.pid, inode + 1) == []
                assert end_forks(worker.pid, inode) == [fork]
                assert worker.poll() is None
                os.kill(helper, 0)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
                worker.kill()


def test_a_group_without_members_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"], process_group=0) as process:
        process.wait()
    monkeypatch.setattr(os, "listdir", lambda _path: pytest.fail("searched"))
    assert end_forks(process.pid, 1) == []
