from __future__ import annotations

import pytest

from cancorderd.sources.bit_timing import Limits, Timing, find, usual_sample_point

BXCAN = Limits(brp=1024, tseg1=16, tseg2=8, sjw=4)
DATA = Limits(brp=1024, tseg1=32, tseg2=16, sjw=16)


@pytest.mark.parametrize(
    ("clock", "bitrate", "sample_point", "limits", "timing"),
    [
        (50_000_000, 500_000, 0.75, BXCAN, Timing(5, 14, 5, 4)),
        (50_000_000, 1_000_000, 0.8, BXCAN, Timing(5, 7, 2, 2)),
        (50_000_000, 1_000_000, None, BXCAN, Timing(5, 7, 2, 2)),
        (48_000_000, 500_000, None, BXCAN, Timing(6, 13, 2, 2)),
        (48_000_000, 83_333, None, BXCAN, Timing(36, 13, 2, 2)),
        (80_000_000, 2_000_000, 0.8, DATA, Timing(1, 31, 8, 8)),
        (80_000_000, 8_000_000, None, DATA, Timing(1, 7, 2, 2)),
        (50_000_000, 800_000, None, BXCAN, None),  # 62.5 ticks
        (50_000_000, 800_000, 0.8, DATA, None),
        (50_000_000, 500_000, 0.3, BXCAN, Timing(10, 2, 7, 4)),
        (50_000_000, 500_000, 0.97, BXCAN, None),  # the second segment would be less than one quantum
        (50_000_000, 40_000_000, None, BXCAN, None),
    ],
)
def test_the_nearest_timing_is_found(
    clock: int, bitrate: int, sample_point: float | None, limits: Limits, timing: Timing | None
) -> None:
    assert find(clock, bitrate, sample_point, limits) == timing


@pytest.mark.parametrize("clock", [24_000_000, 40_000_000, 48_000_000, 50_000_000, 80_000_000])
@pytest.mark.parametrize("bitrate", [5000, 10_000, 33_333, 83_333, 125_000, 250_000, 500_000, 1_000_000])
def test_what_is_found_is_near_and_within_the_limits(clock: int, bitrate: int) -> None:
    timing = find(clock, bitrate, None, BXCAN)
    assert timing is not None
    assert all(1 <= value <= most for value, most in zip(timing, BXCAN, strict=True))
    assert timing.bitrate(clock) == pytest.approx(bitrate, rel=1e-3)
    assert timing.sample_point == pytest.approx(usual_sample_point(bitrate), abs=0.0501)
