"""The simulated bus: one frame at a time, the lowest arbitration id first (ISO 11898-1). Pure.

Frames take the time that their bits need. No errors, no retransmission: every frame arrives.
Times are seconds of simulated time.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

from cancorderd.frame import EXTENDED, FD

STUFFING = 1.1
"""Stuff bits, as a share of the bits that can have them: between none and one in four."""


class BusFrame(NamedTuple):
    """A data frame without a time. Flags are those of `cancorderd.frame`."""

    arbitration_id: int
    data: bytes
    flags: int = 0


class Bus:
    """Frames wait for their turn; each sender has few at a time."""

    def __init__(self, bitrate: int, data_bitrate: int) -> None:
        self.due = math.inf
        """When the frame on the bus will have arrived."""
        self._bitrate = bitrate
        self._data_bitrate = data_bitrate
        self._waiting: list[tuple[int, int, BusFrame, int]] = []
        self._counter = 0
        self._on_the_bus: tuple[BusFrame, int] | None = None
        self._durations: dict[tuple[int, int], float] = {}

    def put(self, frame: BusFrame, sender: int, now: float) -> None:
        """Queue `frame` for `sender`, a number that `arrive` gives back."""
        self._counter += 1
        heapq.heappush(self._waiting, (priority(frame), self._counter, frame, sender))
        if self._on_the_bus is None:
            self._next(now)

    def arrive(self) -> tuple[BusFrame, int]:
        """The frame that is due, and its sender; the next one starts at once."""
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
        if (lasting := self._durations.get(kind)) is None:
            lasting = duration_s(frame, self._bitrate, self._data_bitrate)
            self._durations[kind] = lasting
        self.due = now + lasting


def priority(frame: BusFrame) -> int:
    """Lower wins: an 11-bit id goes before a 29-bit id that starts with the same bits."""
    if frame.flags & EXTENDED:
        base, rest = divmod(frame.arbitration_id, 1 << 18)
        return base << 19 | 1 << 18 | rest
    return frame.arbitration_id << 19


def duration_s(frame: BusFrame, bitrate: int, data_bitrate: int) -> float:
    """How long `frame` keeps the bus busy, interframe space included, with plausible stuffing."""
    extended = bool(frame.flags & EXTENDED)
    bits = 8 * len(frame.data)
    if not frame.flags & FD:
        stuffed = (54 if extended else 34) + bits
        return (stuffed * STUFFING + 13) / bitrate
    # Up to BRS and from the CRC delimiter on at the nominal bit rate, all between at the data's.
    nominal = (36 if extended else 17) * STUFFING + 13
    checksum = 28 if len(frame.data) <= 16 else 33
    return nominal / bitrate + (5 + bits * STUFFING + checksum) / data_bitrate
