"""Memory for clients that do not read: limited for all buses together, and kept once while they change workers."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
TOTAL = 16 * MIB


def buses(rate: int, *names: str) -> str:
    return "".join(f'[bus.{name}]\ninterface = "mock"\nstart = "always"\nrate = {rate}\n' for name in names)


def write(daemon: Daemon, text: str, total: int) -> None:
    daemon.write(text)
    daemon.file.write_text(
        daemon.file.read_text().replace("[daemon]\n", f"[daemon]\nbacklog_total = {total}\n")
    )


@contextlib.contextmanager
def stalled(*ports: int, each: int) -> Iterator[list[Client]]:
    """Clients that never read, some on each port."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(port, reads=False)) for port in ports for _ in range(each)]


def backlogs(daemon: Daemon) -> dict[str, int]:
    """The bytes that wait for clients, by bus."""
    found = {}
    for bus in daemon.status()["buses"]:
        found[bus["name"]] = sum(client["backlog_bytes"] for client in bus["clients"])
    return found


def dropped(daemon: Daemon, bus: str) -> int:
    return sum(client["frames_dropped"] for client in daemon.bus(bus)["clients"])


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, "")


def test_backlogs_of_all_buses_keep_to_the_limit_and_follow_a_reload(daemon: Daemon) -> None:
    text = buses(50_000, "a", "b")
    write(daemon, text, TOTAL)
    with daemon, stalled(daemon.wait_port("a"), daemon.wait_port("b"), each=6):
        pids = [daemon.bus(name)["pid"] for name in ("a", "b")]
        poll(lambda: dropped(daemon, "a") and dropped(daemon, "b"), what="dropped frames")
        assert all(TOTAL / 2 * 0.8 < size <= TOTAL / 2 for size in backlogs(daemon).values())
        assert 0 < dropped(daemon, "a") <= daemon.bus("a")["lost"]["clients"]
        write(daemon, text, TOTAL // 2)
        assert daemon.ctl("reload").returncode == 0
        poll(lambda: all(size <= TOTAL / 4 for size in backlogs(daemon).values()), what="smaller backlogs")
        # A bus more: the others make room for it.
        write(daemon, text + buses(1, "c"), TOTAL // 2)
        assert daemon.ctl("reload").returncode == 0
        poll(lambda: all(size <= TOTAL / 6 for size in backlogs(daemon).values()), what="smaller backlogs")
        assert [daemon.bus(name)["pid"] for name in ("a", "b")] == pids, "no worker was restarted"
        assert all(len(daemon.bus(name)["clients"]) == 6 for name in ("a", "b"))


def peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def resident_mib(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures a process's peak")
def test_backlogs_are_in_the_supervisor_once_and_only_while_workers_change(daemon: Daemon) -> None:
    """24 clients with 4 MiB each."""
    daemon.write(buses(100_000, "a"))
    with daemon, stalled(daemon.wait_port("a"), each=24):
        poll(lambda: dropped(daemon, "a"), what="dropped frames")
        poll(lambda: backlogs(daemon)["a"] > 90 * MIB, what="full backlogs")
        assert daemon.process
        supervisor = daemon.process.pid
        Path(f"/proc/{supervisor}/clear_refs").write_text("5")  # the peak begins anew
        before_mib = resident_mib(supervisor)
        assert daemon.ctl("restart", "a").returncode == 0
        poll(lambda: backlogs(daemon)["a"] > 90 * MIB, what="backlogs in the next worker")
        assert peak_mib(supervisor) - before_mib < 1.3 * 96
        assert resident_mib(supervisor) - before_mib < 32
        assert resident_mib(daemon.bus("a")["pid"]) < 1.5 * 96 + 40
