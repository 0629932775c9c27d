"""How long batches take through the worker: from the beginning of the read to the last client's send. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from cancorderd.ipc.messages import LATENCY_BOUNDS_S, Latency

if TYPE_CHECKING:
    from collections.abc import Sequence


class LatencyCounter:
    """Counts batches by their latency; costs less than a microsecond for each."""

    def __init__(self, earlier: Latency | None) -> None:
        """`earlier` are the counts of the bus's earlier workers."""
        self._counts = list(earlier.counts) if earlier else [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._sum_s = earlier.sum_s if earlier else 0.0

    def add(self, seconds: float, bounds_s: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        """Count a batch."""
        self._counts[bisect_left(bounds_s, seconds)] += 1
        self._sum_s += seconds

    def total(self) -> Latency:
        return Latency(list(self._counts), round(self._sum_s, 6))
