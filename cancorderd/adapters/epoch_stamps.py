"""Time stamps of drivers, mapped to microseconds since the Unix epoch. Pure: clocks are arguments.

Some drivers stamp with the host's clock, others with a clock that counts from the start of the adapter, or with a calendar that
is wrong by years. Stamps that agree with their arrival are used as they are; any other clock is mapped by `DeviceClock`,
which believes it while it runs at the host's rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.protocol.packets import restamped

if TYPE_CHECKING:
    from cancorderd.protocol.batch import Batch

_AGREE_US = 1_000_000
"""A stamp of the host's clock is at most this far from its arrival."""
_PATIENCE_US = 2_000_000
"""If the stamps disagree for longer than this, they are not, or not any more, the host's."""
_CALENDAR_S = 1_000_000_000
"""September 2001: drivers that mean a date are above, those that count from a start below."""
_MOST_S = 1e15
_UNITS_S = (("years", 365.25 * 86_400), ("days", 86_400), ("hours", 3600), ("s", 1))


class EpochStamps:
    """Maps the stamps of one driver, in seconds, in the order in which its frames arrive."""

    def __init__(self) -> None:
        self._known = False
        self._clock: DeviceClock | None = None
        """Mapping of stamps that are not the host's."""
        self._wrong_date = ""
        self._last_us = self._sent_us = 0
        self._disagrees_since_us: int | None = None

    @property
    def fault(self) -> str:
        """What is wrong with the driver's clock, as the end of a sentence; empty if nothing is."""
        return (self._clock.fault if self._clock else "") or self._wrong_date

    def epoch_us(self, stamp_s: float, now_us: int) -> int:
        """Return the stamp as microseconds since the epoch; `now_us` is the time of arrival.

        A stamp of 0, and a number that is no time, stand for a driver without stamps.
        """
        if not 0 < stamp_s < _MOST_S:  # this includes "not a number"
            return now_us
        stamp_us = round(stamp_s * 1e6)
        if not self._known:
            self._known = True
            if abs(stamp_us - now_us) > _AGREE_US:
                self._clock = DeviceClock()
                self._wrong_date = _wrong_date(stamp_s, now_us / 1e6)
        if self._clock:
            return self._clock.epoch_us(stamp_us, now_us)
        self._last_us = stamp_us
        return stamp_us

    def observe_host(self, now_us: int, monotonic_us: int) -> None:
        """Take the host's clocks. Call it before each read."""
        if self._clock:
            self._clock.observe_host(now_us, monotonic_us)

    def checked(self, batch: Batch, now_us: int, monotonic_us: int) -> Batch:
        """Return the batch of a read, in which all frames have their time of arrival if their stamps are wrong.

        `now_us` and `monotonic_us` are the time of arrival of the last frame, by either clock. A read that leaves frames
        behind in the driver must not be checked: they would seem to be late.
        """
        if self._clock:
            return self._clock.checked(batch, now_us, monotonic_us)
        if not self._last_us or not batch.frames or abs(self._last_us - now_us) <= _AGREE_US:
            self._disagrees_since_us = None
            self._sent_us = self._last_us
            return batch
        if self._disagrees_since_us is None:
            self._disagrees_since_us = monotonic_us
        elif monotonic_us - self._disagrees_since_us > _PATIENCE_US:
            self._known = False
        # Stamps that ran ahead by little are waited for; if the host's clock was set back, they are not.
        ahead = self._sent_us if self._sent_us - now_us <= 2 * _AGREE_US else 0
        return restamped(batch, max(now_us, ahead))


def _wrong_date(stamp_s: float, now_s: float) -> str:
    if stamp_s < _CALENDAR_S:
        return ""
    off_s = stamp_s - now_s
    unit, length_s = next((unit for unit in _UNITS_S if abs(off_s) >= unit[1]), _UNITS_S[-1])
    direction = "ahead of" if off_s > 0 else "behind"
    return f"mapped to the host's: it is {abs(off_s) / length_s:.1f} {unit} {direction} it"
