"""Bit timing: prescaler and segments for a bitrate and a sample point. Pure.

ISO 11898-1:2015, 11.3: a bit is 1 + tseg1 + tseg2 time quanta of `brp` clock ticks each, and is
sampled after 1 + tseg1 of them.
"""

from __future__ import annotations

from typing import NamedTuple

_MOST_RATE_ERROR = 0.001
"""Wide enough for 83,333 bit/s; both ends of a bus share some 1 % (ISO 11898-1:2015, 11.3.2)."""
_MOST_POINT_ERROR = 0.05
"""Half a quantum of ten: the coarsest bit in use."""


class Limits(NamedTuple):
    """The largest values that a controller accepts, or the smallest."""

    brp: int
    tseg1: int
    tseg2: int
    sjw: int


class Timing(NamedTuple):
    """A bit's timing: the prescaler, and the segments in time quanta."""

    brp: int
    tseg1: int
    tseg2: int
    sjw: int

    @property
    def quanta(self) -> int:
        return 1 + self.tseg1 + self.tseg2

    @property
    def sample_point(self) -> float:
        return (1 + self.tseg1) / self.quanta

    def bitrate(self, clock_hz: int) -> float:
        return clock_hz / (self.brp * self.quanta)

    def in_words(self, clock_hz: int) -> str:
        """Return bitrate and sample point as `status` shows them."""
        return f"{self.bitrate(clock_hz):.0f} bit/s, sample point {100 * self.sample_point:.1f} %"


def usual_sample_point(bitrate: int) -> float:
    """Return the sample point that CiA recommends, or above 800 kbit/s the one Linux uses (drivers/net/can/dev)."""
    if bitrate > 800_000:
        return 0.75
    return 0.8 if bitrate > 500_000 else 0.875


_ONES = Limits(1, 1, 1, 1)


def find(
    clock_hz: int,
    bitrate: int,
    sample_point: float | None,
    limits: Limits,
    least: Limits = _ONES,
    *,
    brp_step: int = 1,
) -> Timing | None:
    """Return the timing nearest to bitrate and sample point, or None if none is near.

    Of equally near timings, the one with the most quanta wins. If `sample_point` is None, it is the usual sample point
    of the bitrate. `brp` is `least.brp` plus a multiple of `brp_step`.
    """
    wanted = sample_point or usual_sample_point(bitrate)
    best: tuple[tuple[float, float, int], Timing] | None = None
    for brp in range(least.brp, limits.brp + 1, brp_step):
        quanta = round(clock_hz / (bitrate * brp))
        if quanta < 1 + least.tseg1 + least.tseg2:
            break
        tseg1 = min(max(round(wanted * quanta) - 1, least.tseg1, quanta - 1 - limits.tseg2), limits.tseg1)
        tseg2 = quanta - 1 - tseg1
        if not least.tseg2 <= tseg2 <= limits.tseg2:
            continue
        timing = Timing(brp, tseg1, tseg2, min(limits.sjw, tseg2))
        # Rounded, so that errors that differ by rounding alone count as equal.
        rate_error = round(abs(timing.bitrate(clock_hz) / bitrate - 1), 6)
        point_error = round(abs(timing.sample_point - wanted), 6)
        if rate_error > _MOST_RATE_ERROR or point_error > _MOST_POINT_ERROR:
            continue
        rank = (rate_error, point_error, brp)
        if best is None or rank < best[0]:
            best = (rank, timing)
    return best[1] if best else None
