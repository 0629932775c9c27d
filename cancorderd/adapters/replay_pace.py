"""When a recorded frame is due. Pure: stamps of the log in, moments of the monotonic clock out, all in seconds."""

from __future__ import annotations

import math

LONGEST_GAP_S = 3600.0
"""Silence in a log beyond which its clock was set: a machine without a clock begins at 1970, until it gets the time."""
SHORTENED_GAP_S = 1.0
_REORDERED_S = 1.0
"""Steps back up to this are frames of several channels, written a little out of order."""


class Pace:
    """Maps stamps of the log to the monotonic clock.

    The first frame is due at once, and no frame before an earlier one. A gap above `LONGEST_GAP_S` becomes one of
    `SHORTENED_GAP_S`; after a step back the log goes on without a pause.
    """

    def __init__(self, speed: float, start_s: float) -> None:
        self.gaps = 0
        """Gaps that were shortened."""
        self.steps_back = 0
        """Steps back of the log's clock."""
        self._speed = speed
        self._anchor_due_s = start_s
        self._anchor_stamp_s: float | None = None
        self._latest_stamp_s = 0.0
        self._latest_due_s = start_s

    def due_s(self, stamp_s: float) -> float:
        """Return when the frame with this stamp is due, never before the one before it."""
        if not math.isfinite(stamp_s):
            return self._latest_due_s
        if self._anchor_stamp_s is None:
            self._anchor_stamp_s = self._latest_stamp_s = stamp_s
            return self._latest_due_s
        step_s = stamp_s - self._latest_stamp_s
        if step_s > LONGEST_GAP_S:
            self.gaps += 1
            self._go_on(stamp_s, SHORTENED_GAP_S / self._speed)
        elif step_s < -_REORDERED_S:
            self.steps_back += 1
            self._go_on(stamp_s, 0.0)
        else:
            self._latest_stamp_s = max(self._latest_stamp_s, stamp_s)
            due_s = self._anchor_due_s + (stamp_s - self._anchor_stamp_s) / self._speed
            self._latest_due_s = max(self._latest_due_s, due_s)
        return self._latest_due_s

    def _go_on(self, stamp_s: float, pause_s: float) -> None:
        """Let later frames keep their distance from this one, which is due `pause_s` after the latest."""
        self._latest_due_s += pause_s
        self._anchor_due_s = self._latest_due_s
        self._anchor_stamp_s = self._latest_stamp_s = stamp_s
