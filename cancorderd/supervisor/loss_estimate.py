"""Estimate of the frames that a crashed worker took along. Pure; times are seconds on the monotonic clock.

A worker that ends in order reports everything before. A worker that crashes takes along the frames since its last
report, and no worker reads the frames until the next source is open. Nobody knows how many frames the bus carried
in this outage: the highest rate of the last reports before counts, or the first rate after it if that is higher, since
the bus may have become busy in the outage, or the worker may have crashed before it had a rate. An absent adapter
adds nothing.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from cancorderd.protocol.packets import HEADER

if TYPE_CHECKING:
    from cancorderd.ipc.messages import BusReport

_RATES_S = 3.0
"""Time before the last rate of which the highest one counts."""
_SHORTEST_S = 0.5
"""Least time from report to report for a rate; rates over a shorter time would jump."""
_MARGIN = 1.1
"""Of the estimate over the measured rate, so that it errs upwards: no bus has the same rate in each second."""
_UNREAD_S = 0.1
"""Time for which frames may have been waiting unread in a driver when the last report was made."""


class LossEstimate:
    """Frames that are lost between the last report of a running worker and the next open source."""

    def __init__(self) -> None:
        self._rates: collections.deque[tuple[float, float]] = collections.deque()
        """Time and frames per second, of the last `_RATES_S`."""
        self._base: tuple[float, int] | None = None
        """Report of the present worker with an open source from which the next rate is measured."""
        self._reported_s: float | None = None
        """Last report of a worker whose source was open; None if nothing can be lost."""
        self._crashed_s: float | None = None
        """Time of the crash, from then until the next source is open."""
        self._outage_s = 0.0
        """Length of the outages that are over, until a rate after them is known."""
        self._counted = 0
        """Frames counted as lost in these outages."""

    def source_open(self, at_s: float, received: int) -> int:
        """Take note of a report with an open source; return the frames lost before that are not yet counted.

        `received` frames of all workers were counted until `at_s`.
        """
        lost = self._lost_until(at_s)
        self._reported_s, self._crashed_s = at_s, None
        return lost + self._measure(at_s, received)

    def adapter_absent(self) -> int:
        """Take note of a report without an adapter; return the frames lost before."""
        lost = self._lost_until(self._crashed_s)
        self._forget_outage()
        return lost

    def crashed(self, now_s: float) -> None:
        """Take note of the end of a worker that reported no end."""
        self._base = None
        if self._reported_s is not None and self._crashed_s is None:
            self._crashed_s = now_s

    def ended(self) -> None:
        """Take note of the end of a worker that has reported everything."""
        self._base = None
        if self._crashed_s is None:
            self._reported_s = None

    def unwanted(self, now_s: float) -> int:
        """Take note that the bus is stopped, so that nothing is lost from now on; return the frames lost before."""
        lost = self._lost_until(now_s)
        self._forget_outage()
        return lost

    def _lost_until(self, end_s: float | None) -> int:
        if self._reported_s is None or self._crashed_s is None or end_s is None:
            return 0
        self._outage_s += _UNREAD_S + _MARGIN * max(0.0, end_s - self._reported_s)
        return self._uncounted(max((rate for _, rate in self._rates), default=0.0))

    def _uncounted(self, rate: float) -> int:
        """Count the frames of the outages at this rate; return those that were not counted before."""
        more = max(0, round(rate * self._outage_s) - self._counted)
        self._counted += more
        return more

    def _measure(self, at_s: float, received: int) -> int:
        """Measure the rate of frames; return the frames lost before that are not yet counted."""
        if self._base is None:
            self._base = at_s, received
            return 0
        since_s, before = self._base
        if at_s - since_s < _SHORTEST_S:
            return 0
        rate = (received - before) / (at_s - since_s)
        self._base = at_s, received
        self._rates.append((at_s, rate))
        while self._rates[0][0] <= at_s - _RATES_S:
            self._rates.popleft()
        more = self._uncounted(rate)
        self._outage_s, self._counted = 0.0, 0
        return more

    def _forget_outage(self) -> None:
        self._base = self._reported_s = self._crashed_s = None
        self._outage_s, self._counted = 0.0, 0


def frames_unsent(report: BusReport) -> int:
    """Return the frames in the backlogs of clients; a frame counts once for each client. Estimated by their size."""
    backlog_bytes = sum(client.backlog_bytes for client in report.clients)
    counts = report.counts
    if not (backlog_bytes and counts.received):
        return 0
    return round(backlog_bytes * counts.received / (HEADER.size * counts.received + counts.payload_bytes))
