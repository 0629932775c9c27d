"""The rate at which batches are made, and how long the spool lasts at this rate. Pure; times are monotonic seconds."""

from __future__ import annotations

_SHORTEST_S = 0.5
_KEPT = 0.9
"""Share of the known rate that stays after each measurement: an average over some ten of them."""
_STILL = 1.0
"""Bytes in a second below which nothing arrives: the average of silent buses never becomes quite 0."""


class ByteRate:
    """Average of the bytes that are added."""

    def __init__(self) -> None:
        self._bytes_per_s = 0.0
        self._added = 0
        self._measured_s: float | None = None

    def add(self, size: int) -> None:
        self._added += size

    def measure(self, now_s: float) -> None:
        """Take the bytes since the last measurement, unless that was just now. Call it about once a second.

        The first call begins the first measurement.
        """
        if self._measured_s is None:
            self._added, self._measured_s = 0, now_s
        passed_s = now_s - self._measured_s
        if passed_s < _SHORTEST_S:
            return
        rate = self._added / passed_s
        self._bytes_per_s = _KEPT * self._bytes_per_s + (1 - _KEPT) * rate if self._bytes_per_s else rate
        if self._bytes_per_s < _STILL:
            self._bytes_per_s = 0.0
        self._added, self._measured_s = 0, now_s

    def lasts_s(self, room: int) -> float | None:
        """Return the time until `room` bytes are full; None if nothing arrives."""
        return max(0.0, round(room / self._bytes_per_s, 1)) if self._bytes_per_s else None
