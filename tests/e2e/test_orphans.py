"""The daemon as process 1 of a container."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a container of its own")
def test_process_1_collects_orphans_and_keeps_the_statuses_of_its_workers(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, '[bus.a]\ninterface = "mock"\nstart = "always"\n')
    daemon.prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with daemon:
        assert daemon.process
        (inside,) = psutil.Process(daemon.process.pid).children()
        (worker,) = inside.children()
        for _ in range(5):  # each leaves a process whose parent has ended
            left = "sleep 600 >/dev/null 2>&1 &"
            entered = ["nsenter", "-t", str(inside.pid), "-p", "-m", "sh", "-c", left]
            subprocess.run(entered, check=True, timeout=60)
        orphans = set(inside.children()) - {worker}
        assert len(orphans) == 5
        for orphan in orphans:
            orphan.kill()
        poll(lambda: inside.children() == [worker], what="no orphan")
        worker.kill()
        poll(lambda: daemon.bus("a")["restarts"] == 1, what="another worker")
        assert "signal 9" in daemon.bus("a")["last_error"]
        inside.terminate()
        poll(lambda: not inside.is_running(), what="the end")
