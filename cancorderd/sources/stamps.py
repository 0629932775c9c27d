"""Time stamps of adapters, mapped to microseconds since the Unix epoch. Pure: clocks are arguments."""

from __future__ import annotations

_PLAUSIBLE_EPOCH_S = 1_000_000_000
"""September 2001: drivers that stamp with the epoch are above, those that count from a start below."""


class EpochStamps:
    """Stamps in seconds of a clock that may be the epoch's or count from any start."""

    def __init__(self) -> None:
        self._offset_us: int | None = None

    def epoch_us(self, stamp_s: float, now_us: int) -> int:
        """`stamp_s` as microseconds since the epoch; `now_us` is the time of arrival.

        A clock that counts from elsewhere is set by its first frame, and set again where it would be
        ahead of the arrival: no frame arrives before it was sent.
        """
        if stamp_s > _PLAUSIBLE_EPOCH_S:
            return round(stamp_s * 1e6)
        if stamp_s <= 0:
            return now_us
        stamp_us = round(stamp_s * 1e6)
        if self._offset_us is None or stamp_us + self._offset_us > now_us:
            self._offset_us = now_us - stamp_us
        return stamp_us + self._offset_us
