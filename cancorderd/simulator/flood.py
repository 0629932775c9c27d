"""The flood: frames of a pattern at a steady rate, to measure how many arrive, and how. Pure.

Frames are packed in bulk. Times are seconds on the caller's clock.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from cancorderd.protocol.packets import AFTER_TIMESTAMP, TIMESTAMP, head
from cancorderd.simulator.flood_payloads import Numbered

if TYPE_CHECKING:
    from cancorderd.simulator.flood_payloads import Payloads

ARBITRATION_ID = 0x100
MAX_BATCH_FRAMES = 2000
"""Most frames in a batch: some 44 kB, packed in half a millisecond."""
GATHER_S = 0.001
"""Least time between batches above 1,000 frames/s, as in the sources of real adapters."""
MAX_BEHIND_S = 0.1
"""Frames that are later than this are dropped: the machine is too slow for the rate."""


class Flood:
    """`rate` frames per second from `start_s` on, in bursts of `burst`; `count` of them, or without end if it is 0."""

    def __init__(
        self,
        rate: float,
        flags: int,
        start_s: float,
        *,
        arbitration_id: int = ARBITRATION_ID,
        payloads: Payloads | None = None,
        burst: int = 1,
        count: int = 0,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._count = count
        self._payloads = payloads or Numbered(8)
        self._origin_s = start_s
        self._start_s = start_s
        self._made = 0
        self._end = count or math.inf
        """Number of frames that `_made` reaches at most."""
        self._scheduled = 0
        """Frames since `_start_s` that were made or dropped."""
        self._not_before_s = start_s
        self._middle = head(arbitration_id, flags, self._payloads.length)
        self._packet = f"{TIMESTAMP.format[1:]}{AFTER_TIMESTAMP.size}s{self._payloads.length}s"

    @property
    def finished(self) -> bool:
        """Whether all `count` frames have been made."""
        return self._made >= self._end

    def resume(self, now_s: float) -> None:
        """Make `count` further frames, which continue the sequence."""
        self._start_s = self._not_before_s = now_s
        self._scheduled = 0
        self._end = self._made + self._count

    def advance(self, now_s: float, offset_us: float) -> Batch:
        """Return the frames that are due, at most MAX_BATCH_FRAMES.

        Time stamps are microseconds of the caller's clock plus `offset_us`; frames of a burst have the same.
        """
        bursts = int((now_s - self._start_s) * self._rate / self._burst)
        due_frames = bursts * self._burst - self._scheduled
        if (late := due_frames - int(MAX_BEHIND_S * self._rate) - MAX_BATCH_FRAMES - self._burst + 1) > 0:
            late -= late % self._burst
            self._scheduled += late
            due_frames -= late
        frames = int(min(due_frames, MAX_BATCH_FRAMES, self._end - self._made))
        if frames <= 0:
            return EMPTY_BATCH
        packets = self._pack(frames, offset_us)
        self._made += frames
        self._scheduled += frames
        self._not_before_s = now_s + GATHER_S if frames < MAX_BATCH_FRAMES else now_s
        return Batch(packets, frames)

    def due_s(self) -> float:
        """Return when to call `advance` next: when a frame is due, and not too soon after the last batch."""
        if self.finished:
            return math.inf
        return max(self._start_s + self._time_of(self._scheduled), self._not_before_s)

    def _time_of(self, index: int) -> float:
        """Return when a frame is due, in seconds from `_start_s`; the first has index 0."""
        return (index // self._burst + 1) * self._burst / self._rate

    def _pack(self, frames: int, offset_us: float) -> bytes:
        start_us = self._start_s * 1e6
        times_us = [start_us + self._time_of(self._scheduled + i) * 1e6 for i in range(frames)]
        origin_us = self._origin_s * 1e6
        elapsed_us = [round(time_us - origin_us) for time_us in times_us]
        # Three values for each packet: time stamp, the constant middle part, payload.
        values: list[int | bytes] = [self._middle] * (3 * frames)
        values[0::3] = [int(offset_us + time_us) for time_us in times_us]
        values[2::3] = self._payloads.payloads(self._made, elapsed_us)
        return struct.pack(">" + self._packet * frames, *values)
