"""One measurement: a gateway, adapters that send at a rate, and clients that count what arrives."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.bench.gateways import GATEWAYS, Gateway
from tests.support.harness import PATIENCE_S, ROOT, poll


class Load(NamedTuple):
    """`rate` is that of each bus, in frames/s; 0: as fast as the gateway reads. `clients` are those of each bus."""

    rate: float
    seconds: float
    clients: int = 1
    buses: int = 1
    length: int = 8
    """Bytes of a frame: 8 (classical) or 64 (CAN FD)."""


def measure(name: str, load: Load, tree: Path = ROOT) -> dict[str, Any]:
    """Measure a gateway under a load.

    Returns `sent` (frames that were due) and `received` (by the slowest client), `cpu` (of the processes that forward frames, as part of a
    core), `us` (the same for each frame of a bus), `delays_us` (quantiles of `viewer`), `pss_mib`, and, of our
    supervisor, `supervisor_cpu` and `supervisor_pss_mib`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        links = [folder / f"tty{number}" for number in range(load.buses)]
        helpers = [start("generator", folder, load.buses, load.rate, load.seconds, load.length)]
        try:
            poll(links[-1].is_symlink, what="the adapters are there")
            with GATEWAYS[name](links, folder, tree) as gateway:
                assert line(helpers[0]) == "open"
                ports = ",".join(map(str, gateway.ports))
                helpers.append(start("viewer", ports, load.clients, load.length))
                assert line(helpers[1]) == "connected"
                return _measured(gateway, load, *helpers)
        finally:
            for helper in helpers:
                helper.kill()
                helper.communicate()


def _measured(
    gateway: Gateway, load: Load, adapter: subprocess.Popen[str], viewer: subprocess.Popen[str]
) -> dict[str, Any]:
    pids = gateway.pids
    supervisors = [gateway.supervisor] if gateway.supervisor else []
    before, began_s = [cpu_s(pids), cpu_s(supervisors)], time.monotonic()
    go(adapter)
    sent = int(line(adapter))
    after, passed_s = [cpu_s(pids), cpu_s(supervisors)], time.monotonic() - began_s
    go(viewer)
    result: dict[str, Any] = json.loads(line(viewer))
    cpu, supervisor_cpu = ((end - begin) / passed_s for begin, end in zip(before, after, strict=True))
    frames = max(1, result["received"]) * load.buses
    return result | {
        "delays_us": result["delays_us"] if gateway.decodes else [],
        "sent": sent,
        "cpu": cpu,
        "us": cpu * passed_s * 1e6 / frames,
        "per_second": result["received"] / result["seconds"] if result["seconds"] else 0.0,
        "pss_mib": sum(map(pss_mib, pids)),
        "supervisor_cpu": supervisor_cpu,
        "supervisor_pss_mib": sum(map(pss_mib, supervisors)),
    }


def cpu_s(pids: list[int]) -> float:
    """Return the processor time of some processes with all their threads: nanoseconds on Linux, else ticks of 10 ms."""
    if sys.platform == "linux":
        # clock_getcpuclockid(3), which Python lacks: the clock of a process that is not this one.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in times))


def pss_mib(pid: int) -> float:
    """Return the proportional set size: private memory and a share of shared memory (proc(5), smaps_rollup)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        return float(psutil.Process(pid).memory_info().rss) / (1 << 20)
    text = rollup.read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    text = process.stdout.readline().strip()
    assert text, f"{process.args!r} has ended: {process.wait(PATIENCE_S)}"
    return text


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
