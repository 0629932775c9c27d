"""Frames per second and load of each bus over the last hour, a sample a second. Pure.

The memory is bounded: 8 bytes for each second and bus, and no more than `MOST_BUSES` buses.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.control.protocol import BusStatus

SECONDS = 3600
MOST_BUSES = 256
"""8 MB. Further buses have no history."""
_MOST_REPEATED = 2
"""Seconds that a sample also stands for if it came late: samples are taken a little less often than once a second."""
SPARKLINE_SECONDS = 600
SPARKLINE_STEP = 5


class HistoryAnswer(TypedDict):
    """Samples of a bus, the last at `end`; null where none was taken."""

    end: int
    """Seconds since the Unix epoch."""
    step: int
    """Seconds between samples."""
    rate: list[float | None]
    """Frames per second."""
    load: list[float | None]
    """From 0 to 1."""


class _Ring:
    """The last `SECONDS` values, each at the second that it is about."""

    def __init__(self) -> None:
        self._values = array("f", [math.nan]) * SECONDS

    def put(self, second: int, value: float) -> None:
        self._values[second % SECONDS] = value

    def last(self, end: int, count: int) -> list[float]:
        return [self._values[second % SECONDS] for second in range(end - count + 1, end + 1)]


class BusHistory:
    """The samples of every bus. `second` is seconds since some fixed moment on a clock that never steps."""

    def __init__(self) -> None:
        self._rates: dict[str, _Ring] = {}
        self._loads: dict[str, _Ring] = {}
        self._second: int | None = None
        """The second of the latest sample."""

    def add(self, second: int, buses: Sequence[BusStatus]) -> None:
        """Add a sample of each bus; seconds without one become gaps, and buses that are gone are forgotten."""
        kept = buses[:MOST_BUSES]
        for rings in (self._rates, self._loads):
            for gone in rings.keys() - {bus["name"] for bus in kept}:
                del rings[gone]
        missed = range(0)
        if self._second is not None and second > self._second:
            missed = range(max(self._second + 1, second - SECONDS + 1), second)
        for bus in kept:
            for rings, value in ((self._rates, bus["frames"]["per_second"]), (self._loads, bus["load"])):
                ring = rings.setdefault(bus["name"], _Ring())
                for gap in missed:
                    ring.put(gap, value if len(missed) <= _MOST_REPEATED else math.nan)
                ring.put(second, value)
        self._second = second

    def answer(self, bus: str, end_epoch: int, seconds: int = SECONDS, step: int = 1) -> HistoryAnswer | None:
        """Return the latest samples of a bus, averaged over `step` seconds; None if there are none."""
        if self._second is None or bus not in self._rates:
            return None
        rates = self._rates[bus].last(self._second, seconds)
        loads = self._loads[bus].last(self._second, seconds)
        first = next((index for index, value in enumerate(rates) if not math.isnan(value)), seconds)
        first -= first % step
        return {
            "end": end_epoch,
            "step": step,
            "rate": _averages(rates[first:], step, 1),
            "load": _averages(loads[first:], step, 4),
        }


def _averages(values: list[float], step: int, digits: int) -> list[float | None]:
    averages: list[float | None] = []
    for start in range(0, len(values), step):
        known = [value for value in values[start : start + step] if not math.isnan(value)]
        averages.append(round(sum(known) / len(known), digits) if known else None)
    return averages
