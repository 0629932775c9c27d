"""Frames per second and bus load, from the totals in a worker's reports. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cancorderd.ipc.messages import Counts

_SHORTEST_S = 0.5
"""A worker also reports at changes; rates over a shorter time would jump."""
_OVERHEAD_BITS = 47
"""A classic frame with an 11-bit id and no data, with its interframe space (ISO 11898-1), unstuffed."""


class Rate:
    """Traffic of a bus between its last two reports."""

    def __init__(self) -> None:
        self.frames_per_second = 0.0
        self.known = False
        """True as soon as there are two reports to compare."""
        self._bits_per_second = 0.0
        self._base: tuple[float, Counts] | None = None

    def update(self, counts: Counts, now_s: float) -> None:
        """Add the totals of a report; `now_s` is the time on the monotonic clock."""
        if self._base is None:
            self._base = (now_s, counts)
            return
        then_s, before = self._base
        passed_s = now_s - then_s
        if passed_s < _SHORTEST_S:
            return
        frames = counts.received - before.received
        payload_bytes = counts.payload_bytes - before.payload_bytes
        self.frames_per_second = frames / passed_s
        self.known = True
        self._bits_per_second = (frames * _OVERHEAD_BITS + 8 * payload_bytes) / passed_s
        self._base = (now_s, counts)

    def load(self, bitrate: int) -> float:
        """Return the share of the bus's time that was in use, from 0 to 1.

        This is an estimate: it ignores stuff bits, 29-bit ids and the higher rate of CAN FD's data phase.
        """
        return min(1.0, self._bits_per_second / bitrate)
