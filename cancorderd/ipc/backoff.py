"""The delay before something that failed is tried again. Pure; delays are in seconds."""

from __future__ import annotations

from typing import NamedTuple

_MOST_DOUBLINGS = 30


class Backoff(NamedTuple):
    """A delay that doubles with each failure in a row, from `first_s` to `longest_s`."""

    first_s: float
    longest_s: float
    jitter: float = 0.0
    """Share by which a delay varies, up and down, so that many processes do not come back in step."""

    def delay_s(self, failures: int, chance: float = 0.5) -> float:
        """Return the delay after `failures` failures in a row (at least 1).

        `chance`, from 0 to 1, selects a value within the jitter: 0 the shortest, 1 the longest.
        """
        delay_s = min(self.longest_s, self.first_s * (1 << min(failures - 1, _MOST_DOUBLINGS)))
        return delay_s * (1 - self.jitter + 2 * self.jitter * chance)
