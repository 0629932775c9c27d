"""Quantiles of many values in bounded memory. Pure."""

from __future__ import annotations

from collections import Counter

_EXACT_BITS = 10
"""Values below 1024 are kept exactly, larger ones with this number of leading bits: within 0.2 %."""


class Quantiles:
    """Counts of whole values from 0 on."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._count = 0
        self.highest: int | None = None
        """The largest value, exactly; None without any."""

    def add(self, value: int) -> None:
        shift = max(0, value.bit_length() - _EXACT_BITS)
        self._counts[value >> shift << shift] += 1
        self._count += 1
        if self.highest is None or value > self.highest:
            self.highest = value

    def __len__(self) -> int:
        return self._count

    def quantile(self, share: float) -> int | None:
        """Return the smallest value that this share of all values does not exceed; None without any."""
        left = share * self._count
        for value in sorted(self._counts):
            left -= self._counts[value]
            if left <= 0:
                return value
        return None
