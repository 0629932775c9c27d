"""The rows of the table: each measures one thing, ours beside the others.

A function gets the seconds of each measurement, and returns its rows. Figures that belong to one another come from one
measurement.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.control.client import ControlError
from tests.bench import driver_readers, gs_usb
from tests.bench.measurement import Load, measure, pss_mib
from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Callable

OURS, ANCESTOR, RELAY = "cancorderd", "cancorder_utils", "relay"
FULL_BUS = 9009
"""Frames per second with 8 bytes on a full 1 Mbit/s bus."""
QUIET_BUS = 500
"""Frames per second, of which each wakes the gateway."""
FD_RATE = 10_000
MANY_BUSES = 200
_MANY_WITHIN_S = 300
"""A run that is not whole is not shown, so a busy machine gets time."""
_MOCK = 'interface = "mock"\nstart = "always"\nspeed = 100\n'


class Row(NamedTuple):
    name: str
    """Key for whoever reads the JSON."""
    title: str
    unit: str
    figures: dict[str, float]
    """The figure of each program."""


def quiet(seconds: float) -> list[Row]:
    results = {name: measure(name, Load(QUIET_BUS, seconds)) for name in (OURS, ANCESTOR, RELAY)}
    cpu = {name: 100 * result["cpu"] for name, result in results.items()}
    return [Row("quiet", f"{QUIET_BUS} frames/s, one client", "% of a core", cpu)]


def full_bus(seconds: float) -> list[Row]:
    load = Load(FULL_BUS, seconds, clients=4)
    results = {name: measure(name, load) for name in (OURS, ANCESTOR, RELAY)}
    decoded = {name: result for name, result in results.items() if result["delays_us"]}
    cpu = {name: 100 * result["cpu"] for name, result in results.items()}
    lost = {name: 100 * (1 - result["received"] / result["sent"]) for name, result in results.items()}
    median = {name: result["delays_us"][0] / 1000 for name, result in decoded.items()}
    late = {name: result["delays_us"][2] / 1000 for name, result in decoded.items()}
    title = f"{FULL_BUS:,} frames/s (a full bus of 1 Mbit/s), four clients"
    return [
        Row("full-bus", title, "% of a core", cpu),
        Row("lost", "frames lost at this rate, by the slowest client", "%", lost),
        Row("median-delay", "delay at this rate, median", "ms", median),
        Row("p99-delay", "delay at this rate, 99 %", "ms", late),
        Row("worker-memory", "memory (PSS) of the process of a bus", "MiB", {name: results[name]["pss_mib"] for name in (OURS, ANCESTOR)}),
        Row("supervisor-memory", "memory (PSS) of the supervisor", "MiB", {OURS: results[OURS]["supervisor_pss_mib"]}),
    ]  # fmt: skip


def one_more_client(seconds: float) -> list[Row]:
    few, many = 1, 9
    found = {}
    for name in (OURS, ANCESTOR, RELAY):
        costs = [measure(name, Load(FULL_BUS, seconds, clients))["cpu"] for clients in (few, many)]
        found[name] = 100 * (costs[1] - costs[0]) / (many - few)
    return [Row("client", f"one more client at {FULL_BUS:,} frames/s", "% of a core", found)]


def fd(seconds: float) -> list[Row]:
    cpu = measure(OURS, Load(FD_RATE, seconds, clients=4, length=64))["cpu"]
    return [
        Row("fd", f"CAN FD, 64 bytes, {FD_RATE:,} frames/s, four clients", "% of a core", {OURS: 100 * cpu})
    ]


def throughput(seconds: float) -> list[Row]:
    found = {name: measure(name, Load(0, seconds))["per_second"] for name in (OURS, ANCESTOR)}
    return [Row("throughput", "slcan, as fast as it is read, one client", "frames/s", found)]


def gs_usb_readers(seconds: float) -> list[Row]:
    us = gs_usb.measure_readers(int(25_000 * seconds))
    names = {OURS: us[gs_usb.FULL], "python-can": us[gs_usb.PYTHON_CAN]}
    quiet_names = {OURS: us[gs_usb.QUIET], "python-can": us[gs_usb.PYTHON_CAN]}
    return [
        Row("gs_usb", "gs_usb reader, nine frames a wake (full bus)", "µs a frame", names),
        Row("gs_usb-quiet", "gs_usb reader, one frame a wake", "µs a frame", quiet_names),
    ]


def drivers(seconds: float) -> list[Row]:
    us = driver_readers.measure_readers(int(25_000 * seconds))
    alone = {OURS: us[driver_readers.DRIVER], "python-can": us[driver_readers.DRIVER_ALONE]}
    return [
        Row("toucan", "TouCAN reader, as fast as it reads", "µs a frame", {OURS: us[driver_readers.TOUCAN]}),
        Row("python-can", "reader of a driver of python-can, as fast as it reads", "µs a frame", alone),
    ]


def times(seconds: float) -> list[Row]:
    rounds = max(1, round(2 * seconds) - 1)
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder), f"[bus.mock]\n{_MOCK}") as daemon:
        daemon.wait_state("mock", "running")
        command = [
            sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket), "status",
        ]  # fmt: skip
        bare = statistics.median(timed([sys.executable, "-c", "pass"]) for _ in range(rounds))
        status = statistics.median(timed(command) for _ in range(rounds))
        first = statistics.median(restart_to_first_frame(daemon) for _ in range(rounds))
    return [
        Row("status", "cancorderctl status", "ms", {OURS: 1000 * status, "empty Python": 1000 * bare}),
        Row("first-frame", "start of a worker to its first frame", "ms", {OURS: 1000 * first}),
    ]


def many_buses(seconds: float) -> list[Row]:
    """Start many buses at once."""
    count = MANY_BUSES if seconds >= 1 else 2
    tables = "".join(f"[bus.b{number}]\n{_MOCK.replace('always', 'client')}" for number in range(count))
    with tempfile.TemporaryDirectory() as temporary:
        began_s = time.monotonic()
        with Daemon(Path(temporary), tables) as daemon:
            poll(lambda: all_run(daemon), _MANY_WITHIN_S, "every bus is running")
            passed_s = time.monotonic() - began_s
            restarts = sum(bus["restarts"] for bus in daemon.status()["buses"])
            assert daemon.process
            memory = pss_mib(daemon.process.pid)
    title = f"{count} buses started at once"
    return [
        Row("many-buses", f"{title}: all run after", "s", {OURS: passed_s}),
        Row("many-buses-restarts", f"{title}: restarts", "", {OURS: restarts}),
        Row("many-buses-memory", f"{title}: memory (PSS) of the supervisor", "MiB", {OURS: memory}),
    ]


def all_run(daemon: Daemon) -> bool:
    """Return whether every bus is running. A daemon that is busy with starts may close a connection unanswered."""
    with contextlib.suppress(ControlError):
        return all(bus["state"] == "running" for bus in daemon.status()["buses"])
    return False


def timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def restart_to_first_frame(daemon: Daemon) -> float:
    """Return the seconds from the supervisor's decision to start a worker to the time stamp of its first frame."""
    port = daemon.wait_state("mock", "running")["port"]
    with Client(port) as viewer:
        viewer.wait_frames(1)
        daemon.ctl("restart", "mock")
        started = last_start(daemon)
        poll(lambda: viewer.frames[-1].timestamp_us / 1e6 > started)
        after = [frame.timestamp_us / 1e6 for frame in list(viewer.frames)]
    return min(stamp for stamp in after if stamp > started) - started


def last_start(daemon: Daemon) -> float:
    """Return the time of the last start of a worker in the log, in seconds since the epoch."""
    lines = reversed(daemon.log.read_text().splitlines())
    start = next(line for line in lines if "mock: starting" in line)
    return datetime.strptime(start[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


ROWS: dict[str, Callable[[float], list[Row]]] = {
    "quiet": quiet,
    "full-bus": full_bus,
    "client": one_more_client,
    "fd": fd,
    "throughput": throughput,
    "gs-usb": gs_usb_readers,
    "drivers": drivers,
    "times": times,
    "many-buses": many_buses,
}
