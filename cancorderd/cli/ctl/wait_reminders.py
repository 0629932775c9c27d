"""When it is said again that a bus waits. Pure; times are seconds on the monotonic clock."""

from __future__ import annotations

FIRST_AFTER_S = (10.0, 60.0)
"""Time from the beginning of the wait to the first reminders."""
EVERY_S = 600.0
"""Time between the others."""


class WaitReminders:
    """The moments at which to remind of one wait. A frame ends the wait and begins the next."""

    def __init__(self, now_s: float) -> None:
        self.restart(now_s)

    def restart(self, now_s: float) -> None:
        """Begin anew."""
        self._began_s = now_s
        self._count = 0
        self.due_s = now_s + FIRST_AFTER_S[0]
        """Time of the next reminder."""

    def take(self, now_s: float) -> float:
        """Count a reminder at `now_s`; return for how long the wait has lasted. Reminders that were missed are left out."""
        while self.due_s <= now_s:
            self._count += 1
            after = FIRST_AFTER_S[self._count :]
            self.due_s = self._began_s + after[0] if after else self.due_s + EVERY_S
        return now_s - self._began_s
