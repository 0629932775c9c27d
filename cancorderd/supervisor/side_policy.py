"""When a process beside the workers is started again, and the sentence that says why it does not run. Pure.

`side_process` acts on it. Durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.exit_statuses import SideExit

_DELAYS = Backoff(first_s=1.0, longest_s=60.0)
STABLE_S = 30.0
"""A process that ran for this time begins with the first delay again."""


class End(NamedTuple):
    """The end of a process that nobody requested, or a start that failed."""

    status: int | None
    """None if the process could not be started."""
    fact: str
    """The event, as the end of a sentence about the process; the whole sentence if it could not be started."""
    last_words: str = ""
    """The reason that the process gave itself, as a sentence; empty if it gave none."""
    ran_s: float = 0.0


class Next(NamedTuple):
    """Decision after an end."""

    delay_s: float | None
    """Time until the next start; None if the process is not wanted."""
    failures: int = 0
    """Failures in a row, for the next decision."""
    reason: str = ""
    """Why the process does not run; empty if nothing is wrong."""
    crashed: bool = False
    """Whether the process ran and ended for no reason that anybody could correct."""


@dataclass(frozen=True)
class SidePolicy:
    """Delays and limits of a process."""

    subject: str = "it"
    """The process, as the beginning of a sentence about it."""
    delays: Backoff = _DELAYS
    refused_s: float | None = None
    """Delay after a process that refuses its settings with a reason; None for the delay after any failure."""
    decides_itself: bool = False
    """Whether the process decides, by `SideExit.DONE` and `SideExit.AGAIN`, that it is not wanted or starts again."""
    hung_s: float = 30.0
    """Time without a message after which the process is taken for hung; nothing urgent depends on it."""
    first_message_within_s: float = 60.0
    """The same before its first message: on a busy machine, a start takes long."""
    asked: bool = False
    """Whether the process is asked to end by `EndRequest`, and not by SIGTERM, which a service manager may send, too."""
    end_within_s: float = 2.0
    """From SIGTERM, or `EndRequest`, to SIGKILL."""

    def after(self, end: End, failures: int) -> Next:
        """Decide what follows an end, after `failures` failures in a row before it."""
        if self.decides_itself and end.status == SideExit.DONE:
            return Next(delay_s=None)
        if self.decides_itself and end.status == SideExit.AGAIN:
            return Next(delay_s=0.0)
        if end.status == SideExit.REFUSED and end.last_words and self.refused_s is not None:
            return Next(self.refused_s, failures, end.last_words)
        failures = 1 if end.ran_s >= STABLE_S else failures + 1
        delay_s = self.delays.delay_s(failures)
        return Next(delay_s, failures, self._reason(end, delay_s), crashed=end.status is not None)

    def _reason(self, end: End, delay_s: float) -> str:
        if end.last_words:
            return end.last_words
        if end.status is None:
            return f"{end.fact} The next try is in {delay_s:g} s."
        return f"{self.subject} {end.fact}; the next one starts in {delay_s:g} s."
