"""Whether an adapter's clock runs at the host's rate. Pure: stamps and times are arguments.

Some firmware stamps frames with a counter that is no clock: it counts frames, stands still, or counts other units. The
stamp of the last frame of each read is compared with the monotonic clock. How far the adapter is ahead of it stays the same if
its clock runs at the host's rate. A read comes late when the process or the machine is busy, and seems to put the adapter behind;
only the read that puts it furthest ahead counts, in each half second. A single step is no wrong rate: the adapter's counter
started over, or the machine slept.
"""

from __future__ import annotations

import enum
from itertools import pairwise
from typing import NamedTuple

_WINDOW_US = 500_000
"""Only the earliest arrival of each such span counts."""
_LEAST_WINDOWS = 6
_MOST_WINDOWS = 120
"""About a minute of traffic."""
_MOST_OFF_US = 1_000_000
"""Disagreement beyond which a clock is wrong."""
_LEAST_SPAN_US = 5_000_000
"""A clock is proved after this, if it disagrees by less than `_SLOPE`."""
_SLOPE = 1 / 60
"""A clock that is proved in a few seconds does not disagree by a second within a minute."""


class Belief(enum.Enum):
    """What is known about a clock."""

    UNPROVED = "unproved"
    PROVED = "proved"
    WRONG = "wrong"


class _Window(NamedTuple):
    end_us: int
    ahead_us: int


class ClockRate:
    """The comparison of one adapter's clock with the monotonic clock."""

    def __init__(self, modulus_us: int | None = None) -> None:
        """`modulus_us` is the value at which the adapter's counter starts over; None if it does not."""
        self.belief = Belief.UNPROVED
        self.fault = ""
        """By how much the clock is wrong, as a phrase; empty if it is not."""
        self._modulus = modulus_us
        self._last: tuple[int, int] | None = None
        self._ahead = 0
        self._windows: list[_Window] = []
        self._window_began = self._window_ahead = 0

    def observe(self, stamp_us: int, monotonic_us: int) -> None:
        """Take note of a stamp, and of the monotonic time at which it arrived. Called once for each read."""
        if self._last is None:
            self._last = stamp_us, monotonic_us
            self._window_began = monotonic_us
            return
        last_stamp, last_monotonic = self._last
        self._last = stamp_us, monotonic_us
        gained = (stamp_us - last_stamp) - (monotonic_us - last_monotonic)
        if self._modulus:
            half = self._modulus // 2
            gained = (gained + half) % self._modulus - half
        self._ahead += gained
        self._window_ahead = max(self._window_ahead, self._ahead)
        if monotonic_us - self._window_began >= _WINDOW_US and self.belief is not Belief.WRONG:
            self._close_window(monotonic_us)

    def _close_window(self, monotonic_us: int) -> None:
        self._windows = [*self._windows[1 - _MOST_WINDOWS :], _Window(monotonic_us, self._window_ahead)]
        self._window_began, self._window_ahead = monotonic_us, self._ahead
        if len(self._windows) >= _LEAST_WINDOWS:
            self._judge()

    def _judge(self) -> None:
        """Compare the first windows with the last, the middle of three each: a single late read moves nothing."""
        aheads = [window.ahead_us for window in self._windows]
        off_us = sorted(aheads[-3:])[1] - sorted(aheads[:3])[1]
        span_us = self._windows[-1].end_us - self._windows[0].end_us
        limit_us = max(_MOST_OFF_US, _SLOPE * span_us)
        if abs(off_us) <= limit_us:
            if span_us >= _LEAST_SPAN_US and abs(off_us) <= _SLOPE * span_us:
                self.belief = Belief.PROVED
            return
        largest_step = max((later - earlier for earlier, later in pairwise(aheads)), key=abs)
        without_step_us = abs(off_us - largest_step)
        if without_step_us > limit_us:
            self.belief = Belief.WRONG
            direction = "ahead" if off_us > 0 else "behind"
            self.fault = f"{abs(off_us) / 1e6:.1f} s {direction} after {span_us / 1e6:.1f} s"
        elif without_step_us < abs(off_us) / 4:
            self._windows.clear()
