"""A moment in the past, whose distance from now stays right when the clock is set. Pure.

A machine without a clock of its own starts in the past, and is set right once the network is there.
"""

from __future__ import annotations

_CLOCK_WAS_SET_S = 0.5
"""Smaller differences are the usual corrections of a clock; the moment keeps its number then."""


class Moment:
    """A moment, by the monotonic clock; `epoch` converts it."""

    def __init__(self, now_s: float, now_epoch_s: float) -> None:
        """`now_s` is the monotonic time, `now_epoch_s` the same in seconds since the epoch."""
        self._moment_s = now_s
        self._epoch_s = now_epoch_s

    def epoch(self, now_s: float, now_epoch_s: float) -> float:
        """Return the moment in seconds since the epoch, by the clock as it is set now."""
        epoch_s = now_epoch_s - (now_s - self._moment_s)
        if abs(epoch_s - self._epoch_s) > _CLOCK_WAS_SET_S:
            self._epoch_s = epoch_s
        return self._epoch_s
