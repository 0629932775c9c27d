"""An adapter's clock, mapped to microseconds since the Unix epoch. Pure: clocks are arguments.

Such a clock counts from power-up, may wrap, and runs some millionths faster or slower than the host's.
What is known of it is when frames arrived, and no frame arrives before it was sent: the earliest
arrivals lie on a straight line, and all others above it, by up to 10 ms where USB gathers. That line,
laid under the earliest arrival of each second, is the mapping; it is followed gently, so that the
distance between two stamps is the adapter's and not that of the arrivals.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

_BLOCK_US = 1_000_000
"""Of each such span only the earliest arrival counts."""
_POINTS = 64
"""Earliest arrivals that carry the line: about a minute. Longer, and NTP's and temperature's bends show."""
_SLOPE_AFTER_US = 10_000_000
"""Below this span the delay of single arrivals would pass for drift."""
_STEEPEST = 600e-6
"""Drift that is believed: 100 ppm of a crystal, and the 500 ppm by which NTP slews a host's clock."""
_STEP_US = 30_000
"""An earlier arrival than foretold by this much, or three seconds in which none was earlier: a step."""
_LATE_BLOCKS = 3
_BREAK_US = 60_000_000
"""Adapter and host disagree by this much between two frames: a step of hours, or the adapter restarted."""
_GENTLE = 0.002
"""How much faster or slower stamps may pass while they close in on the line."""
_HASTY = 0.5
"""The same after the host's clock was set back, where they wait for it to catch up."""


class Line(NamedTuple):
    """Arrival less stamp: `offset_us` at stamp 0, changing by `slope` for each microsecond of the stamp."""

    slope: float
    offset_us: float

    def at(self, stamp_us: int) -> float:
        return self.offset_us + self.slope * stamp_us


class DeviceClock:
    """Maps stamps of one adapter, in the order in which its frames arrive."""

    def __init__(self, modulus_us: int | None = None) -> None:
        """`modulus_us`: where the adapter's counter starts over, in microseconds; None where it does not."""
        self._modulus = modulus_us
        self._break_us = min(_BREAK_US, modulus_us // 16) if modulus_us else _BREAK_US
        self._started = False
        self._last_stamp = self._last_now = self._last_epoch = 0
        # Positions are stamps, unwrapped, since the anchor; raw values are arrival less position.
        self._base = self._position = 0
        self._block_start = self._block_at = self._block_raw = self._late_blocks = 0
        self._points: list[tuple[int, int]] = []
        self._line = Line(0.0, 0.0)
        self._left = 0.0
        self._left_since = 0

    def epoch_us(self, stamp_us: int, now_us: int) -> int:
        """When the frame was on the bus, in microseconds since the epoch; never less than the last answer.

        `stamp_us` is the adapter's stamp, `now_us` the time of arrival. Where the host's clock is set
        ahead, stamps follow after a few seconds with frames, at once where it is by more than a minute;
        where it is set back, they pass at half speed until it has caught up.
        """
        if not self._started:
            self._started = True
            self._last_stamp, self._last_now = stamp_us, now_us
            self._anchor(now_us, now_us)
        advance = stamp_us - self._last_stamp
        ahead = advance - (now_us - self._last_now)
        self._last_stamp, self._last_now = stamp_us, now_us
        if not -self._break_us <= ahead <= self._break_us:
            turns = round(ahead / self._modulus) * self._modulus if self._modulus else 0
            if not -self._break_us <= ahead - turns <= self._break_us:
                self._anchor(now_us, now_us)
                return self._answer(0)
            advance -= turns
        self._position = position = self._position + advance
        raw = now_us - self._base - position
        if position - self._block_start >= _BLOCK_US:
            self._close_block(position)
        if raw < self._block_raw:
            self._block_raw, self._block_at = raw, position
            if raw < self._line.at(position) - _STEP_US:
                self._anchor(now_us, self._target(position))
                position = 0
        return self._answer(position)

    def _answer(self, position: int) -> int:
        epoch = round(self._target(position))
        self._last_epoch = max(self._last_epoch, epoch)
        return self._last_epoch

    def _target(self, position: int) -> float:
        """What the line says, and what is left of the way to it; since the epoch."""
        left = self._left
        if left:
            pace = _HASTY if left > _STEP_US else _GENTLE
            gone = pace * max(0, position - self._left_since)
            left = max(0.0, left - gone) if left > 0 else min(0.0, left + gone)
        return self._base + position + self._line.at(position) + left

    def _anchor(self, now_us: int, said: float) -> None:
        """Forget the past: this frame arrived without delay, as far as is known.

        Behind what was `said` last, stamps wait; ahead of it, they jump.
        """
        self._base = now_us
        self._position = self._left_since = 0
        self._block_start = self._block_at = self._block_raw = self._late_blocks = 0
        self._points = []
        self._line = Line(0.0, 0.0)
        self._left = max(0.0, max(said, self._last_epoch) - now_us)

    def _close_block(self, position: int) -> None:
        """Lay the line anew, now that the earliest arrival of one more second is known."""
        at, raw = self._block_at, self._block_raw
        self._block_start = position
        self._block_raw = 1 << 62
        late = raw > self._line.at(at) + _STEP_US
        self._late_blocks = self._late_blocks + 1 if late else 0
        if late and self._late_blocks < _LATE_BLOCKS:
            return
        if late:
            self._points.clear()
            self._late_blocks = 0
        if self._points and at <= self._points[-1][0]:
            return
        self._points = [*self._points[1 - _POINTS :], (at, raw)]
        before = self._target(position)
        self._line = lower_line(self._points)
        self._left, self._left_since = 0.0, position
        self._left = before - self._target(position)
        if self._left < -_STEP_US:
            self._left = 0.0


def lower_line(points: list[tuple[int, int]]) -> Line:
    """The line that runs closest below all `points`, which are in order.

    It is that edge of their lower convex hull which lies below their middle (Moon, Skelly, Towsley:
    Estimation and Removal of Clock Skew from Network Delay Measurements, INFOCOM 1999).
    """
    slope = 0.0
    if points[-1][0] - points[0][0] >= _SLOPE_AFTER_US:
        hull = _lower_hull(points)
        middle = sum(at for at, _ in points) / len(points)
        (x1, y1), (x2, y2) = next(edge for edge in pairwise(hull) if edge[1][0] >= middle)
        slope = max(-_STEEPEST, min(_STEEPEST, (y2 - y1) / (x2 - x1)))
    return Line(slope, min(raw - slope * at for at, raw in points))


def _lower_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Andrew's monotone chain."""
    hull: list[tuple[int, int]] = []
    for x, y in points:
        while len(hull) > 1:
            (x1, y1), (x2, y2) = hull[-2:]
            if (x2 - x1) * (y - y1) > (y2 - y1) * (x - x1):
                break
            hull.pop()
        hull.append((x, y))
    return hull
