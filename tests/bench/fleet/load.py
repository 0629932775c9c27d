"""Put the load of many gateways on a hub, and measure its cost. The gateways live in processes of their own (`writer`)."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.measurement import cpu_s, go, line, pss_mib, start

if TYPE_CHECKING:
    from tests.bench.fleet.stage import Stage
    from tests.bench.fleet.writer import Task


class Taken(NamedTuple):
    """Messages that a hub has stored, and their cost."""

    messages: int
    megabytes: float
    seconds: float
    hub_s: float
    """Processor time of nats-server."""
    idle: float
    """Part of the machine's processors that did nothing or waited for the disk."""
    ack_ms: tuple[float, float]
    """Delay of an acknowledgement: median, 99 %."""
    pss_mib: float
    descriptors: int

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds

    @property
    def us(self) -> float:
        """Processor time of nats-server for a message."""
        return 1e6 * self.hub_s / self.messages


def take(stage: Stage, task: Task, processes: int) -> Taken:
    """Run a task, split between so many processes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        writers = []
        for number in range(processes):
            file = folder / f"{number}.json"
            file.write_text(json.dumps(asdict(replace(task, accounts=task.accounts[number::processes]))))
            writers.append(start("fleet.writer", file))
            stack.callback(writers[-1].communicate)
            stack.callback(writers[-1].kill)
        for writer in writers:
            assert line(writer) == "connected"
        before, hub_s, began_s = psutil.cpu_times(), cpu_s([stage.pid]), time.monotonic()
        for writer in writers:
            go(writer)
        results = [json.loads(line(writer)) for writer in writers]
        passed_s, hub_s = time.monotonic() - began_s, cpu_s([stage.pid]) - hub_s
        after = psutil.cpu_times()
    delays_us = [delay for result in results for delay in result["delays_us"]]
    quantiles = statistics.quantiles(delays_us, n=100)
    return Taken(
        messages=sum(result["sent"] for result in results),
        megabytes=sum(result["bytes"] for result in results) / 1e6,
        seconds=max(result["seconds"] for result in results),
        hub_s=hub_s,
        idle=_unused_s(after, before) / passed_s / (os.cpu_count() or 1),
        ack_ms=(quantiles[49] / 1000, quantiles[98] / 1000),
        pss_mib=pss_mib(stage.pid),
        descriptors=len(os.listdir(f"/proc/{stage.pid}/fd")),
    )


def _unused_s(after: psutil._ntp.scputimes, before: psutil._ntp.scputimes) -> float:
    return sum(float(getattr(after, name, 0.0) - getattr(before, name, 0.0)) for name in ("idle", "iowait"))
