"""Whether a worker hangs, judged by a supervisor that may have stood still itself. Pure.

A worker hangs if it sends nothing for longer than it may. A supervisor that stands still (paused container, stopped by
a signal or a debugger, no processor time) notices that its next check is late. Its workers may have stood still with
it, so each of them has its whole time anew. `manager` checks, `bus` acts. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

CHECK_EVERY_S = 0.25
LATE_S = 0.5
"""Delay beyond which the supervisor has stood still. A shorter standstill hides between two checks; with the second
between two reports, the silence that it causes stays below 2 s, the shortest `watchdog`."""
FIRST_MESSAGE_WITHIN_S = 60.0
"""A worker starts Python, its driver and its adapter before its first message; many start at once at boot."""
_MOST_TIMES_THE_LIMIT = 2.0
"""A supervisor that is late again and again would grant time for ever; from this multiple on, only late checks excuse."""


def is_late(due_s: float, now_s: float) -> bool:
    """Return whether the supervisor stood still when something was due."""
    return now_s - due_s > LATE_S


class Check(NamedTuple):
    """A round of checks of all workers."""

    now_s: float
    last_s: float
    """Time of the round before."""
    every_s: float
    """Planned interval between two rounds."""

    @property
    def stood_still_s(self) -> float:
        """How long the supervisor stood still before this round; negligible unless the round is late."""
        return max(0.0, self.now_s - self.last_s - self.every_s)

    @property
    def late(self) -> bool:
        return self.stood_still_s > LATE_S


@dataclass(frozen=True)
class Silence:
    """Time without a message from a worker."""

    since_s: float
    """Time of the latest message; before the first message, of the worker's start."""
    counted_from_s: float
    """The same, or the time of a late check after it."""
    excused_s: float = 0.0
    """Length of the intervals since `since_s` that ended with a late check."""
    heard: bool = False
    """Whether the worker has sent a message."""

    @classmethod
    def from_start(cls, now_s: float) -> Silence:
        return cls(now_s, now_s)

    def checked(self, check: Check, last_message_s: float | None) -> Silence:
        """Return the silence after a check. If the check is late, everything that has arrived must be read before."""
        after = self
        if last_message_s is not None and last_message_s != self.since_s:
            after = Silence(last_message_s, last_message_s, heard=True)
        if not check.late:
            return after
        stood_still_s = max(0.0, check.now_s - max(check.last_s, after.since_s))
        return replace(
            after,
            counted_from_s=max(check.now_s, after.since_s),
            excused_s=after.excused_s + stood_still_s,
        )

    def seconds(self, now_s: float) -> float:
        """Return the seconds that count: since the worker's time began, last or anew."""
        return now_s - self.counted_from_s

    def fact(self, now_s: float) -> str:
        """Return the end of a sentence about a worker that hangs."""
        since = "" if self.heard else " after its start"
        return f"sent no heartbeat for {self.seconds(now_s):.0f} s{since}"

    def hung(
        self, now_s: float, watchdog_s: float, first_message_within_s: float = FIRST_MESSAGE_WITHIN_S
    ) -> bool:
        """Return whether the silence is too long; `watchdog_s` is the bus's setting."""
        limit_s = watchdog_s if self.heard else max(watchdog_s, first_message_within_s)
        unexcused_s = now_s - self.since_s - self.excused_s
        return self.seconds(now_s) > limit_s or unexcused_s > _MOST_TIMES_THE_LIMIT * limit_s
