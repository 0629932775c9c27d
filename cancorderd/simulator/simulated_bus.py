"""The simulated bus: one frame at a time, the lowest arbitration id first (ISO 11898-1). Pure.

A frame takes the time that its bits need. There are no errors and no retransmissions: every frame arrives.
Times are seconds of simulated time.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

from cancorderd.protocol.frame import EXTENDED
from cancorderd.simulator.frame_duration import duration_s


class BusFrame(NamedTuple):
    """A data frame without a time stamp. Flags are those of `cancorderd.protocol.frame`."""

    arbitration_id: int
    data: bytes
    flags: int = 0


class SimulatedBus:
    """A bus and the frames that wait for it; each sender has only a few at a time."""

    def __init__(self, bitrate: int, data_bitrate: int) -> None:
        self.due = math.inf
        """Arrival time of the frame that is on the bus."""
        self._bitrate = bitrate
        self._data_bitrate = data_bitrate
        self._waiting: list[tuple[int, int, BusFrame, int]] = []
        self._counter = 0
        self._on_the_bus: tuple[BusFrame, int] | None = None
        self._durations: dict[tuple[int, int], float] = {}

    def put(self, frame: BusFrame, sender: int, now: float) -> None:
        """Queue `frame`. `sender` is a number that `arrive` returns with it."""
        self._counter += 1
        heapq.heappush(self._waiting, (priority(frame), self._counter, frame, sender))
        if self._on_the_bus is None:
            self._next(now)

    def arrive(self) -> tuple[BusFrame, int]:
        """Return the frame that is due, and its sender. The next frame starts at once."""
        if self._on_the_bus is None:
            raise RuntimeError("no frame is on the bus")
        arrived, self._on_the_bus = self._on_the_bus, None
        now, self.due = self.due, math.inf
        if self._waiting:
            self._next(now)
        return arrived

    def _next(self, now: float) -> None:
        *_, frame, sender = heapq.heappop(self._waiting)
        self._on_the_bus = (frame, sender)
        kind = (frame.flags, len(frame.data))
        if (lasts_s := self._durations.get(kind)) is None:
            lasts_s = duration_s(*kind, self._bitrate, self._data_bitrate)
            self._durations[kind] = lasts_s
        self.due = now + lasts_s


def priority(frame: BusFrame) -> int:
    """Return the priority in arbitration: lower wins, and an 11-bit id beats a 29-bit id with the same base."""
    if frame.flags & EXTENDED:
        base, rest = divmod(frame.arbitration_id, 1 << 18)
        return base << 19 | 1 << 18 | rest
    return frame.arbitration_id << 19
