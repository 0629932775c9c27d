"""Limits of a hub: until processor or disk is full, and with a growing number of gateways."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.bench.curves import Curve
from tests.bench.fleet.load import take
from tests.bench.fleet.stage import ALWAYS, DEFAULT, ON_DISK, Stage
from tests.bench.fleet.writer import Task
from tests.bench.rows import FULL_BUS

FLUSH_10 = 97
"""Frames of a full bus in a batch with `flush_ms = 10`."""
BUSES, RATE = 4, 2000
"""Buses of each gateway in `growth`, and frames per second of each."""
_FRAMES = (5, FLUSH_10, 364, 2909)
"""Frames of a batch in `capacity`: bodies of 110 bytes to 64 kB."""
_CAPACITY_GATEWAYS = 16
_CAPACITY_STREAM_MB = 250
GATEWAYS = (5, 10, 25, 50, 100, 200)
_GATEWAYS_OF_A_PROCESS = 50
_KEPT = 0.95
"""If a smaller part of the due messages per second is acknowledged, the hub has fallen behind."""
_IDLE = 0.15
"""If a larger part of the processors was idle, the disk was the limit."""


class Capacity(NamedTuple):
    """Most messages that a hub stores, with bodies of one size."""

    hub: str
    """"box" as contrib/hub makes it, or "bare": without TLS and accounts."""
    sync: str
    frames: int
    """Frames of each message."""
    body: int
    """Bytes of each message without its headers."""
    messages_per_s: float
    mb_per_s: float
    buses: float
    """Full buses that make so many frames."""
    us: float
    """Processor time of nats-server for a message."""
    cpu: float
    """Processor time of nats-server, as part of a core."""
    limit: str


class Growth(NamedTuple):
    """A hub with so many gateways, each with BUSES buses."""

    series: str
    gateways: int
    due_per_s: float
    messages_per_s: float
    kept: bool
    """Whether it kept up."""
    cpu: float
    us: float
    pss_mib: float
    descriptors: int
    ack_ms: tuple[float, float]


class Series(NamedTuple):
    flush_ms: int
    sync: str

    @property
    def name(self) -> str:
        always = ", always" if self.sync == ALWAYS else ""
        return f"flush_ms {self.flush_ms}{always}"

    @property
    def frames(self) -> int:
        """Frames of a batch: `flush_ms` counts from the first one on."""
        return 1 + RATE * self.flush_ms // 1000


SERIES = (Series(10, DEFAULT), Series(10, ALWAYS), Series(200, ALWAYS))


def capacity(seconds: float) -> list[Capacity]:
    found = []
    for boxed, syncs in ((True, (DEFAULT, ALWAYS)), (False, (DEFAULT,))):
        with (
            tempfile.TemporaryDirectory(dir=ON_DISK) as folder,
            Stage(Path(folder) / "hub", boxed=boxed, stream_mb=_CAPACITY_STREAM_MB) as stage,
        ):
            for sync in syncs:
                stage.restart(sync)
                sizes = _FRAMES if boxed else (FLUSH_10,)
                found += [_capacity(stage, sync, frames, seconds) for frames in sizes]
    return found


def _capacity(stage: Stage, sync: str, frames: int, seconds: float) -> Capacity:
    names = [f"gateway-{number}" for number in range(_CAPACITY_GATEWAYS if seconds >= 1 else 2)]
    stage.add(names)
    task = Task(
        stage.server.port,
        stage.accounts(names),
        frames,
        interval_s=0,
        seconds=seconds / 2,
        compressed=False,
        ca=stage.ca,
    )
    taken = take(stage, task, os.cpu_count() or 1)
    return Capacity(
        hub="box" if stage.boxed else "bare",
        sync=sync,
        frames=frames,
        body=round(1e6 * taken.megabytes / taken.messages),
        messages_per_s=taken.per_second,
        mb_per_s=taken.megabytes / taken.seconds,
        buses=taken.per_second * frames / FULL_BUS,
        us=taken.us,
        cpu=taken.hub_s / taken.seconds,
        limit="disk" if taken.idle > _IDLE else "processors",
    )


def growth(seconds: float) -> list[Growth]:
    """Let more and more gateways send; each series ends where the hub falls behind, or with the last number of gateways."""
    found: dict[Series, list[Growth]] = {series: [] for series in SERIES}
    with tempfile.TemporaryDirectory(dir=ON_DISK) as folder, Stage(Path(folder) / "hub") as stage:
        for count in GATEWAYS if seconds >= 1 else (1, 2):
            names = [f"gateway-{number}" for number in range(count)]
            stage.add(names)
            for series, points in found.items():
                if not points or points[-1].kept:
                    stage.restart(series.sync)
                    points.append(_growth(series, stage, names, 0.75 * seconds))
    return [point for points in found.values() for point in points]


def _growth(series: Series, stage: Stage, names: list[str], seconds: float) -> Growth:
    interval_s = series.frames / RATE
    due_per_s = len(names) * BUSES / interval_s
    task = Task(
        stage.server.port, stage.accounts(names), series.frames, interval_s, seconds, BUSES, ca=stage.ca
    )
    taken = take(stage, task, math.ceil(len(names) / _GATEWAYS_OF_A_PROCESS))
    return Growth(
        series=series.name,
        gateways=len(names),
        due_per_s=due_per_s,
        messages_per_s=taken.per_second,
        kept=taken.per_second > _KEPT * due_per_s,
        cpu=taken.hub_s / taken.seconds,
        us=taken.us,
        pss_mib=taken.pss_mib,
        descriptors=taken.descriptors,
        ack_ms=taken.ack_ms,
    )


def curves(points: list[Growth]) -> list[Curve]:
    """Return the pictures of a growth. Points at which the hub fell behind are left out."""

    def curve(name: str, title: str, unit: str, value: str) -> Curve:
        series: dict[str, list[tuple[float, float]]] = {each.name: [] for each in SERIES}
        for point in points:
            if point.kept:
                values = {"cpu": 100 * point.cpu, "p99": point.ack_ms[1], "pss": point.pss_mib}
                series[point.series].append((point.gateways, values[value]))
        return Curve(name, title, "gateways", unit, series)

    return [
        curve("hub-processor", f"A hub's processor time, {BUSES} buses a gateway", "% of a core", "cpu"),
        curve("hub-memory", "A hub's memory (PSS)", "MiB", "pss"),
        curve("hub-delay", "Delay of an acknowledgement, 99 %", "ms", "p99"),
    ]
