"""The flood: numbered frames at a steady rate, for measuring how many arrive. Pure.

Each has the same arbitration id and, as its eight bytes, its number in big-endian, from 0. Packed in bulk:
no frame is an object of its own. Times are seconds on the caller's clock.
"""

from __future__ import annotations

import struct

from cancorderd.frame import NOTHING, Batch

ARBITRATION_ID = 0x100
MOST_AT_ONCE = 2000
"""Frames in a batch: some 44 kB, packed in half a millisecond."""
GATHER_S = 0.001
"""Above 1,000 frames/s, no more than one batch in this time, as adapters' sources do."""
MAX_BEHIND_S = 0.1
"""What is later than this is not made up for: the machine gives no more."""

_AFTER_STAMP = struct.Struct(">IBB")
_PACKET = "Q6sQ"


class Flood:
    """`rate` frames a second from `start_s` on."""

    def __init__(self, rate: float, flags: int, start_s: float) -> None:
        self._rate = rate
        self._start_s = start_s
        self._made = 0
        self._scheduled = 0
        self._not_before_s = start_s
        self._middle = _AFTER_STAMP.pack(ARBITRATION_ID, flags, 8)

    def advance(self, now_s: float, offset_us: float) -> Batch:
        """What is due, up to MOST_AT_ONCE frames. Stamps are the clock's microseconds plus `offset_us`."""
        owed = int((now_s - self._start_s) * self._rate) - self._scheduled
        if (late := owed - int(MAX_BEHIND_S * self._rate) - MOST_AT_ONCE) > 0:
            self._scheduled += late
            owed -= late
        frames = min(owed, MOST_AT_ONCE)
        if frames <= 0:
            return NOTHING
        first_us = offset_us + self._time_of(self._scheduled + 1) * 1e6
        packets = self._pack(frames, first_us)
        self._made += frames
        self._scheduled += frames
        self._not_before_s = now_s + GATHER_S if frames < MOST_AT_ONCE else now_s
        return Batch(packets, frames)

    def due_s(self) -> float:
        """When the next frame is due, or when enough may have gathered."""
        return max(self._time_of(self._scheduled + 1), self._not_before_s)

    def _time_of(self, number: int) -> float:
        return self._start_s + number / self._rate

    def _pack(self, frames: int, first_us: float) -> bytes:
        step_us = 1e6 / self._rate
        # Three values for each packet: stamp, the constant middle, number.
        values: list[int | bytes] = [self._middle] * (3 * frames)
        values[0::3] = [int(first_us + step_us * i) for i in range(frames)]
        values[2::3] = range(self._made, self._made + frames)
        return struct.pack(">" + _PACKET * frames, *values)
