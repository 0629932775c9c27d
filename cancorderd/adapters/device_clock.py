"""An adapter's clock, mapped to microseconds since the Unix epoch. Pure: clocks are arguments.

An adapter's clock counts from power-up, may wrap, and runs some millionths faster or slower than the host's. Only
the arrivals of frames are known, and no frame arrives before it was sent. If arrival is drawn over stamp, the earliest
arrivals therefore lie on a straight line, and all others lie above it, by up to 10 ms if USB gathers frames. The line
under the earliest arrival of each second is the mapping. Stamps approach it gently, so that the distance between two
stamps is the adapter's and not that of the arrivals.

A clock is believed while it runs at the host's rate (`clock_rate`). The check is made for each read, not for each frame: if it
fails, the frames of that read get their time of arrival, and so do all later frames if the clock is found to be wrong.
If the host's clock was set (`observe_host`), the mapping begins anew: stamps follow at once, ahead and back.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.clock_rate import Belief, ClockRate
from cancorderd.host_clock import HostClock
from cancorderd.protocol.packets import restamped

if TYPE_CHECKING:
    from cancorderd.protocol.batch import Batch

_BLOCK_US = 1_000_000
"""Only the earliest arrival of each such span counts."""
_POINTS = 64
"""Earliest arrivals that the line rests on: about a minute. In a longer span, NTP and temperature bend the line."""
_SLOPE_AFTER_US = 10_000_000
"""If the arrivals span less than this, the delay of a single arrival would look like drift."""
_STEEPEST = 600e-6
"""The largest drift that is believed: 100 ppm of a crystal, and the 500 ppm by which NTP slews a host's clock."""
_STEP_US = 30_000
"""The mapping was wrong if a frame arrives this much too early, or if all are this late for three seconds."""
_LATE_BLOCKS = 3
_BREAK_US = 60_000_000
"""If adapter and host disagree by this much between two frames, a clock was set by hours or the adapter restarted."""
_GENTLE = 0.002
"""How much faster or slower stamps may advance while they approach the line."""
_HASTY = 0.5
"""The same if stamps were far ahead of their arrival, and wait for it to catch up."""

_MOST_OFF_US = 1_000_000
"""While a clock is not proved to run at the host's rate, stamps further than this from their arrival are not used."""


class Line(NamedTuple):
    """Arrival minus stamp: `offset_us` at stamp 0, changing by `slope` for each microsecond of the stamp."""

    slope: float
    offset_us: float

    def at(self, stamp_us: int) -> float:
        return self.offset_us + self.slope * stamp_us


class DeviceClock:
    """Maps stamps of one adapter, in the order in which its frames arrive."""

    def __init__(self, modulus_us: int | None = None) -> None:
        """`modulus_us` is the value at which the adapter's counter starts over; None if it does not."""
        self.fault = ""
        """Why the adapter's clock is not used any more, as the end of a sentence; empty while it is."""
        self._host = HostClock()
        self.set_modulus(modulus_us)
        self._checked = self._floor = 0
        self._started = False
        self._last_stamp = self._last_now = self._last_epoch = 0
        # Positions are unwrapped stamps since the anchor; raw values are arrival minus position.
        self._base = self._position = 0
        self._block_start = self._block_at = self._block_raw = self._late_blocks = 0
        self._points: list[tuple[int, int]] = []
        self._line = Line(0.0, 0.0)
        self._left = 0.0
        self._left_since = 0

    def set_modulus(self, modulus_us: int | None) -> None:
        """Change the value at which the counter starts over, since it was seen to count further."""
        self._rate = ClockRate(modulus_us)
        self._modulus = modulus_us
        self._break_us = min(_BREAK_US, modulus_us // 16) if modulus_us else _BREAK_US

    def epoch_us(self, stamp_us: int, now_us: int) -> int:
        """Return when the frame was on the bus, in microseconds since the epoch.

        `stamp_us` is the adapter's stamp, `now_us` the time of arrival. Never returns less than before, unless
        `observe_host` found that the host's clock was set back.
        """
        if not self._started:
            if self.fault:
                return self.arrival_us(now_us)
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

    def observe_host(self, now_us: int, monotonic_us: int) -> None:
        """Take the host's clocks. Call it before each read is decoded, with `host_clock.clocks_us`."""
        step_us = self._host.step_us(now_us, monotonic_us)
        if step_us:
            self._started = False
            self._floor = self._last_epoch = max(0, self._last_epoch + min(0, step_us))

    @property
    def used(self) -> bool:
        """Whether the adapter has sent stamps."""
        return bool(self._last_epoch or self.fault)

    def arrival_us(self, now_us: int) -> int:
        """Return the stamp of a frame that has none of its own: `now_us`, or the last stamp if that is later."""
        if self.fault and now_us >= self._last_epoch:
            self._last_epoch = 0
        return max(now_us, self._last_epoch)

    def hold(self, epoch_us: int) -> None:
        """Take note that a frame without a stamp was given `epoch_us`: no later stamp is less."""
        if self._started:
            self._last_epoch = max(self._last_epoch, epoch_us)

    def checked(self, batch: Batch, now_us: int, monotonic_us: int) -> Batch:
        """Return the batch of a read, in which all frames have their time of arrival if the clock is not to be believed.

        `now_us` is the time of arrival that `epoch_us` got for the last frame of the read, or a later time;
        `monotonic_us` is the monotonic clock at `now_us`. A read that leaves frames behind must not be checked.
        """
        if self._started and self._last_now != self._checked:
            self._checked = self._last_now
            self._rate.observe(self._last_stamp, monotonic_us - (now_us - self._last_now))
            off_us = abs(self._last_epoch - self._last_now)
            if self._rate.belief is not Belief.PROVED and (
                off_us > _MOST_OFF_US or self._rate.belief is Belief.WRONG
            ):
                return self._disbelieve(batch, now_us)
        self._floor = self._last_epoch
        return batch

    def _disbelieve(self, batch: Batch, now_us: int) -> Batch:
        """Return the batch with times of arrival, and forget the mapping: it came from wrong stamps."""
        if self._rate.belief is Belief.WRONG:
            self.fault = f"not used: it does not run at the host's rate ({self._rate.fault})"
        self._started = False
        self._floor = self._last_epoch = max(now_us, self._floor)
        return restamped(batch, self._last_epoch)

    def _answer(self, position: int) -> int:
        epoch = round(self._target(position))
        self._last_epoch = max(self._last_epoch, epoch)
        return self._last_epoch

    def _target(self, position: int) -> float:
        """Return the epoch time of a position: the line, plus the remaining distance to it."""
        left = self._left
        if left:
            pace = _HASTY if left > _STEP_US else _GENTLE
            gone = pace * max(0, position - self._left_since)
            left = max(0.0, left - gone) if left > 0 else min(0.0, left + gone)
        return self._base + position + self._line.at(position) + left

    def _anchor(self, now_us: int, epoch_us: float) -> None:
        """Forget the past: assume that this frame arrived without delay.

        If the arrival is behind the last result or `epoch_us`, stamps wait for it; if it is ahead, they jump.
        """
        self._base = now_us
        self._position = self._left_since = 0
        self._block_start = self._block_at = self._block_raw = self._late_blocks = 0
        self._points = []
        self._line = Line(0.0, 0.0)
        self._left = max(0.0, max(epoch_us, self._last_epoch) - now_us)

    def _close_block(self, position: int) -> None:
        """Recompute the line, now that the earliest arrival of another second is known."""
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
    """Return the line that runs closest below all `points`, which are in order.

    It is the edge of their lower convex hull below their middle (Moon, Skelly, Towsley: Estimation and Removal of
    Clock Skew from Network Delay Measurements, INFOCOM 1999).
    """
    slope = 0.0
    if points[-1][0] - points[0][0] >= _SLOPE_AFTER_US:
        hull = _lower_hull(points)
        middle = sum(at for at, _ in points) / len(points)
        (x1, y1), (x2, y2) = next(edge for edge in pairwise(hull) if edge[1][0] >= middle)
        slope = max(-_STEEPEST, min(_STEEPEST, (y2 - y1) / (x2 - x1)))
    return Line(slope, min(raw - slope * at for at, raw in points))


def _lower_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the lower convex hull by Andrew's monotone chain."""
    hull: list[tuple[int, int]] = []
    for x, y in points:
        while len(hull) > 1:
            (x1, y1), (x2, y2) = hull[-2:]
            if (x2 - x1) * (y - y1) > (y2 - y1) * (x - x1):
                break
            hull.pop()
        hull.append((x, y))
    return hull
