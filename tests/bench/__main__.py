"""Measures both gateways in one run and prints the ratios. Start it by tests/bench/run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.bench.gateways import GATEWAYS, pss_mib
from tests.harness import Client, Daemon, poll

FULL_BUS = 9009
"""Frames per second of 8 bytes on a full 1 Mbit/s bus."""


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def measure(name: str, rate: float, seconds: float, viewers: int) -> dict[str, Any]:
    """One gateway, one adapter that sends at `rate` (0: as fast as it is read), some clients."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        link = folder / "tty"
        adapter = start("generator", link, rate, seconds)
        poll(link.is_symlink)
        with GATEWAYS[name](link, folder) as gateway:
            assert line(adapter) == "open"
            clients = [start("viewer", gateway.port) for _ in range(viewers)]
            for one in clients:
                assert line(one) == "connected"
            process = psutil.Process(gateway.pid)
            before, began = process.cpu_times(), time.monotonic()
            go(adapter)
            sent = int(line(adapter))
            after, passed = process.cpu_times(), time.monotonic() - began
            found = [json.loads(line(one)) for one in clients]
            memory = pss_mib(gateway.pid)
            supervisor = pss_mib(gateway.supervisor) if gateway.supervisor else None
            go(adapter)
        for one in (adapter, *clients):
            one.communicate()
    return {
        "sent": sent,
        "received": min(one["count"] for one in found),
        "jumps": max(one["jumps"] for one in found),
        "per_second": min(one["count"] / one["seconds"] for one in found),
        "cpu": (after.user + after.system - before.user - before.system) / passed,
        "median_us": max(one["median_us"] or 0 for one in found),
        "p99_us": max(one["p99_us"] or 0 for one in found),
        "pss_mib": memory,
        "supervisor_pss_mib": supervisor,
    }


def throughput() -> None:
    print("slcan on a pseudo-terminal, as fast as it is read, one client, 5 s")
    rates = {}
    for name in GATEWAYS:
        one = measure(name, 0, 5, 1)
        rates[name] = one["per_second"]
        lost = one["sent"] - one["received"]
        print(
            f"  {name:11} {one['per_second']:10,.0f} frames/s, {lost} of {one['sent']:,} lost, {one['jumps']} jumps"
        )
    print(f"  ratio       {rates['cancorderd'] / rates['ancestor']:10.1f}")


def full_bus() -> None:
    print(f"slcan at {FULL_BUS} frames/s, four clients, 10 s")
    found = {name: measure(name, FULL_BUS, 10, 4) for name in GATEWAYS}
    for name, one in found.items():
        lost = one["sent"] - one["received"]
        print(
            f"  {name:11} {one['cpu'] * 100:5.1f} % of a core, delay {one['median_us'] / 1000:.2f} ms (median) "
            f"{one['p99_us'] / 1000:.2f} ms (99 %), {lost} of {one['sent']:,} lost, {one['pss_mib']:.1f} MiB (PSS)"
        )
    mine, other = found["cancorderd"], found["ancestor"]
    print(f"  supervisor  {mine['supervisor_pss_mib']:.1f} MiB (PSS)")
    print(
        f"  ratio       processor per frame {mine['cpu'] / mine['received'] / (other['cpu'] / other['received']):.3f}, "
        f"memory of the worker {mine['pss_mib'] / other['pss_mib']:.2f}"
    )


def times() -> None:
    print("times, median of 7")
    with tempfile.TemporaryDirectory() as temporary:
        mock = '[bus.mock]\ninterface = "mock"\nstart = "always"\nspeed = 100\n'
        with Daemon(Path(temporary), mock) as daemon:
            daemon.wait_state("mock", "running")
            bare = statistics.median(timed([sys.executable, "-c", "pass"]) for _ in range(7))
            ctl = [
                sys.executable,
                "-m",
                "cancorderd.cli.cancorderctl",
                "--socket",
                str(daemon.socket),
                "status",
            ]
            status = statistics.median(timed(ctl) for _ in range(7))
            first = statistics.median(restart_to_first_frame(daemon) for _ in range(7))
    print(f"  cancorderctl status         {status:.3f} s ({status / bare:.1f} times an empty Python)")
    print(f"  worker start to first frame {first:.3f} s ({first / bare:.1f} times an empty Python)")


def timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def restart_to_first_frame(daemon: Daemon) -> float:
    """From the supervisor's decision to start a worker to its first frame's time stamp."""
    port = daemon.wait_state("mock", "running")["port"]
    with Client(port) as viewer:
        viewer.wait_frames(1)
        daemon.ctl("restart", "mock")
        started = last_start(daemon)
        poll(lambda: viewer.frames[-1].timestamp_us / 1e6 > started)
        after = [frame.timestamp_us / 1e6 for frame in list(viewer.frames)]
    return min(stamp for stamp in after if stamp > started) - started


def last_start(daemon: Daemon) -> float:
    """When the log says that the supervisor last started a worker, in seconds since the epoch."""
    line = next(one for one in reversed(daemon.log.read_text().splitlines()) if "mock: starting" in one)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


PARTS = {"throughput": throughput, "full-bus": full_bus, "times": times}


def main(names: list[str]) -> None:
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
