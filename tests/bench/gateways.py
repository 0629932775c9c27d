"""The gateways to compare, each with slcan adapters.

`relay` is no gateway but a floor: it copies the bytes of the adapter as they are, with the three system calls of any
program that forwards a frame (wait, read, send), and decodes nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.support.harness import PATIENCE_S, ROOT, Daemon, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Gateway(NamedTuple):
    """A running gateway: port for clients and id of the process that forwards frames, for each bus."""

    ports: list[int]
    pids: list[int]
    supervisor: int | None = None
    decodes: bool = True


class TreeDaemon(Daemon):
    """A daemon of another state of the code, in the folder `tree`."""

    def __init__(self, folder: Path, buses: str, tree: Path) -> None:
        super().__init__(folder, buses)
        self.prefix = [
            "sh", "-c", 'cd "$1" && shift && exec env PYTHONPATH="$PWD" "$@"', "sh", str(tree)
        ]  # fmt: skip


@contextlib.contextmanager
def ours(links: list[Path], folder: Path, tree: Path = ROOT) -> Iterator[Gateway]:
    buses = "".join(
        f'[bus.bench{number}]\ninterface = "slcan"\nchannel = "{link}"\nmax_clients = 100\nfd = true\ndata_bitrate = 2_000_000\n'
        for number, link in enumerate(links)
    )
    with TreeDaemon(folder, buses, tree) as daemon:
        poll(
            lambda: all(bus["state"] == "running" for bus in daemon.status()["buses"]),
            what="every bus is running",
        )
        found = daemon.status()["buses"]
        assert daemon.process
        yield Gateway([bus["port"] for bus in found], [bus["pid"] for bus in found], daemon.process.pid)


@contextlib.contextmanager
def ancestor(links: list[Path], folder: Path, _tree: Path = ROOT) -> Iterator[Gateway]:
    environment = os.environ | {"PYTHONPATH": os.environ["ANCESTOR"]}
    with started(
        links, folder, ["cancorder_utils.canlogger", "-i", "slcan", "--no-zeroconf"], environment
    ) as (
        ports,
        pids,
    ):
        yield Gateway(ports, pids)


@contextlib.contextmanager
def relay(links: list[Path], folder: Path, _tree: Path = ROOT) -> Iterator[Gateway]:
    with started(links, folder, ["tests.bench.relay"], dict(os.environ)) as (ports, pids):
        yield Gateway(ports, pids, decodes=False)


@contextlib.contextmanager
def started(
    links: list[Path], folder: Path, module: list[str], environment: dict[str, str]
) -> Iterator[tuple[list[int], list[int]]]:
    """Run `python -m MODULE -c LINK -p PORT` for each link until the end of the block."""
    ports = [free_port() for _ in links]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for link, port in zip(links, ports, strict=True):
            with (folder / f"{link.name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *module, "-c", str(link), "-p", str(port)],
                        stdout=log, stderr=log, start_new_session=True, env=environment, cwd=ROOT,
                    )
                )  # fmt: skip
        for process, port in zip(processes, ports, strict=True):
            poll(lambda: listens(process.pid, port), what=f"{module[0]} listens")  # noqa: B023 - called at once
        yield ports, [process.pid for process in processes]
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(PATIENCE_S)


def listens(pid: int, port: int) -> bool:
    assert psutil.pid_exists(pid)
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in psutil.Process(pid).net_connections("tcp")
    )


GATEWAYS: dict[str, Callable[..., contextlib.AbstractContextManager[Gateway]]] = {
    "cancorderd": ours,
    "cancorder_utils": ancestor,
    "relay": relay,
}
"""`GATEWAYS[name](links, folder, tree)`; `tree` is the folder of our code."""
