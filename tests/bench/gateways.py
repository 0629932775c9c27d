"""The two that are compared: our daemon and the ancestor's command, each serving one slcan adapter."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.harness import Daemon, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gateway(NamedTuple):
    """A running gateway: where clients connect, and which process moves the frames."""

    port: int
    pid: int
    supervisor: int | None


@contextlib.contextmanager
def ours(link: Path, folder: Path) -> Iterator[Gateway]:
    with Daemon(folder, f'[bus.bench]\ninterface = "slcan"\nchannel = "{link}"\n') as daemon:
        bus = daemon.wait_state("bench", "running")
        assert daemon.process
        yield Gateway(bus["port"], bus["pid"], daemon.process.pid)


@contextlib.contextmanager
def ancestor(link: Path, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    with (folder / "ancestor.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cancorder_utils.canlogger", "-i", "slcan", "-c", str(link), "-p", str(port), "--no-zeroconf"],
            stdout=log, stderr=log, start_new_session=True, env=os.environ | {"PYTHONPATH": os.environ["ANCESTOR"]},
        )  # fmt: skip
    try:
        poll(lambda: listens(process.pid, port), what="the ancestor listens")
        yield Gateway(port, process.pid, None)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def listens(pid: int, port: int) -> bool:
    assert psutil.pid_exists(pid)
    return any(
        one.status == psutil.CONN_LISTEN and one.laddr.port == port
        for one in psutil.Process(pid).net_connections("tcp")
    )


def pss_mib(pid: int) -> float:
    """Proportional set size: private memory, and a share of what is shared (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss")


GATEWAYS = {"cancorderd": ours, "ancestor": ancestor}
