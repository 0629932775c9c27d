"""Bit timing of a CAN controller: the segments for a bitrate within its clock and limits. Pure.

python-can can calculate this too, at the price of 18 MB in each worker.
"""

from __future__ import annotations

from typing import NamedTuple

_LARGEST_ERROR = 0.005
"""Of the bitrate. Oscillators may deviate by less than 1.58 % in all (ISO 11898-1), and have errors of their own."""


class Limits(NamedTuple):
    """What a controller can be set to: segments in time quanta, the prescaler `brp` in steps of `brp_inc`.

    In the order of struct gs_device_bt_const.
    """

    tseg1_min: int
    tseg1_max: int
    tseg2_min: int
    tseg2_max: int
    sjw_max: int
    brp_min: int
    brp_max: int
    brp_inc: int


class Timing(NamedTuple):
    """One bit: 1 + prop_seg + phase_seg1 + phase_seg2 quanta of `brp` clocks each.

    In the order of struct gs_device_bittiming.
    """

    prop_seg: int
    phase_seg1: int
    phase_seg2: int
    sjw: int
    brp: int

    @property
    def quanta(self) -> int:
        return 1 + self.prop_seg + self.phase_seg1 + self.phase_seg2

    @property
    def sample_point(self) -> float:
        return (1 + self.prop_seg + self.phase_seg1) / self.quanta

    def bitrate(self, clock_hz: int) -> float:
        return clock_hz / (self.brp * self.quanta)


def usual_sample_point(bitrate: int) -> float:
    """What CiA recommends, as the kernel does by itself (drivers/net/can/dev/calc_bittiming.c)."""
    if bitrate > 800_000:
        return 0.75
    return 0.8 if bitrate > 500_000 else 0.875


def bit_timing(clock_hz: int, bitrate: int, sample_point: float | None, limits: Limits) -> Timing | None:
    """The timing nearest to what is asked; None where the controller cannot do `bitrate`.

    The bitrate counts most, then the sample point, then fine quanta. The segments are divided and the
    jump width is chosen as the kernel does.
    """
    wanted = usual_sample_point(bitrate) if sample_point is None else sample_point
    best: tuple[float, float, int] | None = None
    timing = None
    for brp in range(limits.brp_min, limits.brp_max + 1, max(1, limits.brp_inc)):
        quanta = round(clock_hz / (brp * bitrate))
        if quanta < 1 + limits.tseg1_min + limits.tseg2_min:
            break  # larger prescalers leave still fewer
        if quanta > 1 + limits.tseg1_max + limits.tseg2_max:
            continue
        off = abs(clock_hz / (brp * quanta) - bitrate) / bitrate
        if off > _LARGEST_ERROR:
            continue
        tseg2 = min(max(round(quanta * (1 - wanted)), limits.tseg2_min), limits.tseg2_max)
        tseg1 = min(max(quanta - 1 - tseg2, limits.tseg1_min), limits.tseg1_max)
        tseg2 = quanta - 1 - tseg1
        rank = (off, abs((1 + tseg1) / quanta - wanted), brp)
        if best is None or rank < best:
            best = rank
            prop_seg = tseg1 // 2
            sjw = max(1, min(limits.sjw_max, tseg1 - prop_seg, tseg2 // 2))
            timing = Timing(prop_seg, tseg1 - prop_seg, tseg2, sjw, brp)
    return timing
