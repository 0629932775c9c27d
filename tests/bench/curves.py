"""The curves of the pictures: processor time and memory against rate, clients and buses, and how delays are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.bench.measurement import Load, measure
from tests.bench.rows import ANCESTOR, FULL_BUS, OURS, RELAY
from tests.bench.viewer import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_RATES = (1, 10, 100, 500, 1000, 2000, 5000, 9009, 20_000)
_CLIENTS = (1, 4, 16, 64)
_BUSES = (1, 4, 16, 64)
_BUS_RATE = 50
_ANCESTOR_MOST = 4_000
"""Frames per second; with more, the ancestor falls behind, and its processor time means nothing."""


class Curve(NamedTuple):
    name: str
    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]
    """Points of each program."""


def rate(seconds: float) -> list[Curve]:
    series: dict[str, list[tuple[float, float]]] = {OURS: [], ANCESTOR: [], RELAY: []}
    for frames in _few(_RATES, seconds):
        for name, points in series.items():
            if name != ANCESTOR or frames <= _ANCESTOR_MOST:
                points.append((frames, 100 * measure(name, Load(frames, seconds))["cpu"]))
    return [Curve("rate", "Processor time, one client", "frames/s", "% of a core", series)]


def clients(seconds: float) -> list[Curve]:
    series: dict[str, list[tuple[float, float]]] = {OURS: [], ANCESTOR: []}
    for count in _few(_CLIENTS, seconds):
        for name, points in series.items():
            points.append((count, 100 * measure(name, Load(1000, seconds, count))["cpu"]))
    return [Curve("clients", "Processor time at 1,000 frames/s", "clients", "% of a core", series)]


def buses(seconds: float) -> list[Curve]:
    cpu: dict[str, list[tuple[float, float]]] = {OURS: [], ANCESTOR: []}
    memory: dict[str, list[tuple[float, float]]] = {OURS: [], ANCESTOR: []}
    for count in _few(_BUSES, seconds):
        for name in cpu:
            result = measure(name, Load(_BUS_RATE, seconds, buses=count))
            cpu[name].append((count, 100 * (result["cpu"] + result["supervisor_cpu"])))
            memory[name].append((count, result["pss_mib"] + result["supervisor_pss_mib"]))
    return [
        Curve("buses", f"Processor time, {_BUS_RATE} frames/s on each bus", "buses", "% of a core", cpu),
        Curve("memory", "Memory (PSS) of all processes", "buses", "MiB", memory),
    ]


def delay(seconds: float) -> list[Curve]:
    series = {}
    for name, frames in ((OURS, FULL_BUS), (ANCESTOR, 2000)):
        delays = measure(name, Load(frames, seconds, clients=4))["delays_us"]
        label = f"{name}, {frames:,} frames/s"
        series[label] = [
            (1 / (1 - part), us / 1000) for part, us in zip(QUANTILES, delays, strict=bool(delays))
        ]
    return [Curve("delay", "Delay of a frame, four clients", "one frame in … is later", "ms", series)]


def _few(values: Iterable[int], seconds: float) -> list[int]:
    """Return the values, or the first two for a trial of the benchmark itself."""
    return list(values)[: None if seconds >= 1 else 2]


CURVES: dict[str, Callable[[float], list[Curve]]] = {
    "rate-curve": rate,
    "clients-curve": clients,
    "buses-curve": buses,
    "delay-curve": delay,
}
