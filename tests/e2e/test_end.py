"""SIGTERM ends the daemon, and a start that fails in part still serves: files that do not answer, reloads that wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.harness import ROOT, Client, Daemon, alive, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

MOCK = '[bus.a]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'
MORE = MOCK.replace("bus.a", "bus.b")
UNANSWERED = """
import io, os, time
def waiting(real):
    def opened(path, *arguments, **keywords):
        while str(path) == {file!r} and os.path.exists({gone!r}):
            time.sleep(0.01)
        return real(path, *arguments, **keywords)
    return opened
io.open, os.open = waiting(io.open), waiting(os.open)
"""
"""A module that is imported at the start of Python: opening a file waits for as long as its server is gone."""


@pytest.fixture
def slow_disk(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A running daemon, and the file whose existence means that its configuration's file system does not answer."""
    gone = tmp_path / "gone"
    module = tmp_path / "python" / "sitecustomize.py"
    module.parent.mkdir()
    running = Daemon(tmp_path, MOCK)
    module.write_text(UNANSWERED.format(file=str(running.file), gone=str(gone)))
    running.prefix = ["env", f"PYTHONPATH={module.parent}:{ROOT}"]
    with running:
        running.wait_state("a", "running")
        yield running, gone


def reload_in_background(running: Daemon) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(running.socket), "reload"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def end_within(running: Daemon, limit_s: float) -> None:
    """Send SIGTERM; the daemon ends in good order, in time, with all its workers."""
    workers = [worker.pid for worker in running.workers()]
    began_s = time.monotonic()
    assert running.stop() == 0, running.log.read_text()
    assert time.monotonic() - began_s < busy_limit_s(limit_s)
    poll(lambda: not any(map(alive, workers)), what="the end of the workers")


def threads(running: Daemon) -> int:
    assert running.process
    return psutil.Process(running.process.pid).num_threads()


def test_sigterm_ends_the_daemon_while_a_reload_cannot_read_its_file(slow_disk: tuple[Daemon, Path]) -> None:
    running, gone = slow_disk
    before = threads(running)
    gone.touch()
    with reload_in_background(running) as reload:
        poll(lambda: threads(running) > before, what="the thread that reads the file")
        end_within(running, 6)
        _, said = reload.communicate(timeout=60)
    assert "Traceback" not in running.log.read_text()
    assert reload.returncode == 1
    assert "cancorderd is ending" in said


def test_a_file_that_cannot_be_read_in_time_blocks_neither_buses_nor_later_reloads(
    slow_disk: tuple[Daemon, Path],
) -> None:
    running, gone = slow_disk
    gone.touch()
    refused = running.ctl("reload")
    assert refused.returncode == 1
    assert (
        f"{running.file}: reading it and the files that it includes takes longer than 5 s." in refused.stderr
    )
    assert running.bus("a")["state"] == "running"
    gone.unlink()
    running.write(MORE)
    assert running.ctl("reload").stdout == "b: added\na: removed\n"


def test_no_reload_starts_a_bus_after_sigterm(tmp_path: Path) -> None:
    with Daemon(tmp_path, MOCK) as running:
        worker = running.wait_state("a", "running")["pid"]
        os.kill(worker, signal.SIGSTOP)  # the reload waits until it is killed
        running.write(MORE)
        with reload_in_background(running) as reload:
            poll(
                lambda: "b" in {bus["name"] for bus in running.status()["buses"]}, what="the reload has begun"
            )
            end_within(running, 6)
            reload.communicate(timeout=60)
        assert reload.returncode == 1


def test_sighup_during_the_start_is_a_reload(tmp_path: Path) -> None:
    running = Daemon(tmp_path, MOCK)
    process = spawn(running)
    try:
        poll(lambda: _blocks_sighup(process), what="the first line of main")
        while not running.socket.exists():
            process.send_signal(signal.SIGHUP)
            assert process.poll() is None, running.log.read_text()
            time.sleep(0.005)
        poll(lambda: "reloaded: no change" in running.log.read_text(), what="the reload")
        assert running.wait_state("a", "running")
    finally:
        running.__exit__()


def spawn(running: Daemon) -> subprocess.Popen[bytes]:
    """Start the daemon without waiting for its first answer."""
    with running.log.open("ab") as log:
        running.process = subprocess.Popen(
            [*running.prefix, sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(running.file)],
            stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    return running.process


def _blocks_sighup(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (blocked,) = (line.split()[1] for line in status if line.startswith("SigBlk:"))
    return bool(int(blocked, 16) >> (signal.SIGHUP - 1) & 1)


@pytest.mark.parametrize("wrong", ["70000", '"x"', "-1"])
def test_a_wrong_port_in_the_memory_costs_no_bus(tmp_path: Path, wrong: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "ports.toml").write_text(f"[ports]\na = 42433\nb = {wrong}\n")
    with Daemon(tmp_path, MOCK + MORE) as running:
        ports = {name: running.wait_state(name, "running")["port"] for name in "ab"}
        assert ports["a"] == 42433
        for port in ports.values():
            with Client(port) as viewer:
                viewer.wait_frames(1)
        assert running.log.read_text().count("ports.toml.bad") == 1
        assert f"b = {wrong}" in (state / "ports.toml.bad").read_text()
        end_within(running, 6)


def test_a_start_that_fails_for_some_buses_leaves_a_daemon_that_serves_and_ends(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(12)]
    running = Daemon(
        tmp_path,
        "".join(
            f"{MOCK.replace('bus.a', f'bus.{name}')}port = {43080 + number}\n"
            for number, name in enumerate(names)
        ),
    )
    running.prefix = ["bash", "-c", 'ulimit -n 40; exec "$@"', "bash"]
    spawn(running)
    try:
        # Without descriptors, the control socket may be unable to answer.
        poll(lambda: "n0: running" in running.log.read_text(), what="a bus that runs")
        poll(lambda: "n11: failed: " in running.log.read_text(), what="a bus without descriptors")
        with Client(43080) as viewer:
            viewer.wait_frames(1)
        end_within(running, 6)
    finally:
        running.__exit__()
