"""Estimate of the frames that a crashed worker took along. Pure; times are seconds on the monotonic clock.

A worker that ends in order reports everything before. A worker that crashes takes along the frames since its last
report, and no worker reads the frames until the next source is open: at most the highest rate of the last reports times
this time. A single report may have a low rate, since the bus was just becoming busy, and all rates may be too low if the
machine is so busy that reports are late: the estimate is somewhat higher. An absent adapter adds nothing.
"""

from __future__ import annotations

import collections

_RATES_S = 3.0
"""Time before the last rate of which the highest one counts."""

_MARGIN = 1.1
"""Of the estimate over the measured rate, so that it errs upwards: with a load of 10, one was a frame too low."""


class LossEstimate:
    """Frames that are lost between the last report of a running worker and the next open source."""

    def __init__(self) -> None:
        self._rates: collections.deque[tuple[float, float]] = collections.deque()
        """Time and frames per second, of the last `_RATES_S`."""
        self._reported_s: float | None = None
        """Last report of a worker whose source was open; None if nothing can be lost."""
        self._crashed_s: float | None = None
        """Time of the crash, from then until the next source is open."""

    def source_open(self, now_s: float, rate: float | None) -> int:
        """Take note of a report with an open source; return the frames lost before.

        `rate` is the rate in frames per second, None if the worker has not run long enough to have a rate.
        """
        lost = self._lost_until(now_s)
        self._reported_s, self._crashed_s = now_s, None
        if rate is not None:
            self._add_rate(now_s, rate)
        return lost

    def adapter_absent(self) -> int:
        """Take note of a report without an adapter; return the frames lost before."""
        lost = self._lost_until(self._crashed_s)
        self._reported_s = self._crashed_s = None
        self._rates.clear()
        return lost

    def crashed(self, now_s: float) -> None:
        """Take note of the end of a worker that reported no end."""
        if self._reported_s is not None and self._crashed_s is None:
            self._crashed_s = now_s

    def ended(self) -> None:
        """Take note of the end of a worker that has reported everything."""
        if self._crashed_s is None:
            self._reported_s = None

    def unwanted(self, now_s: float) -> int:
        """Take note that the bus is stopped, so that nothing is lost from now on; return the frames lost before."""
        lost = self._lost_until(now_s)
        self._reported_s = self._crashed_s = None
        return lost

    def _lost_until(self, end_s: float | None) -> int:
        if self._reported_s is None or self._crashed_s is None or end_s is None:
            return 0
        rate = max((rate for _, rate in self._rates), default=0.0)
        return round(_MARGIN * rate * max(0.0, end_s - self._reported_s))

    def _add_rate(self, now_s: float, rate: float) -> None:
        self._rates.append((now_s, rate))
        while self._rates[0][0] <= now_s - _RATES_S:
            self._rates.popleft()
