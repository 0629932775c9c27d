"""When the service manager has to hear from us. Pure; seconds on the monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXTENSION_S = 10.0
"""How much more time each request asks for; requests come about once a second."""
_LONGEST_S = 60.0


class Watchdog:
    """Due at half of the interval after which the manager takes us for hung."""

    def __init__(self, interval_s: float, usual_check_s: float) -> None:
        self.interval_s = interval_s
        self.check_every_s = min(usual_check_s, interval_s / 4)
        """How often to ask `due`."""
        self._last_s: float | None = None

    def due(self, now_s: float) -> bool:
        """True where a sign of life has to be sent now, for the next time is too late; it counts as sent."""
        latest_s = self.interval_s / 2 - self.check_every_s / 2
        if self._last_s is not None and now_s - self._last_s < latest_s:
            return False
        self._last_s = now_s
        return True


def watchdog_interval_s(environment: Mapping[str, str], pid: int) -> float | None:
    """What sd_watchdog_enabled(3) answers: None where no watchdog waits for this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(microseconds) / 1e6


def extension_us(elapsed_s: float) -> int | None:
    """EXTEND_TIMEOUT_USEC for a start, reload or end that takes `elapsed_s` already; None: it is stuck."""
    return int(_EXTENSION_S * 1e6) if elapsed_s < _LONGEST_S else None
