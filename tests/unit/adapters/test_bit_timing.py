from __future__ import annotations

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.bit_timing import Limits, Timing, find, usual_sample_point

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
        (8_000_000, 1_000_000, 0.875, BXCAN, Timing(1, 6, 1, 1)),  # the second segment at its least
        (16_000_000, 1_000_000, 0.5, BXCAN, Timing(1, 7, 8, 4)),  # and at its most
        (3_000_000, 1_000_000, 0.65, BXCAN, Timing(1, 1, 1, 1)),  # both segments at their least
    ],
)
def test_nearest_timing(
    clock: int, bitrate: int, sample_point: float | None, limits: Limits, timing: Timing | None
) -> None:
    assert find(clock, bitrate, sample_point, limits) == timing


@pytest.mark.parametrize("clock", [24_000_000, 40_000_000, 48_000_000, 50_000_000, 80_000_000])
@pytest.mark.parametrize("bitrate", [5000, 10_000, 33_333, 83_333, 125_000, 250_000, 500_000, 1_000_000])
def test_timing_is_near_and_within_the_limits(clock: int, bitrate: int) -> None:
    timing = find(clock, bitrate, None, BXCAN)
    assert timing is not None
    assert all(1 <= value <= most for value, most in zip(timing, BXCAN, strict=True))
    assert timing.bitrate(clock) == pytest.approx(bitrate, rel=1e-3)
    assert timing.sample_point == pytest.approx(usual_sample_point(bitrate), abs=0.0501)


@pytest.mark.parametrize(
    ("bitrate", "sample_point"),
    [
        (10_000, 0.875), (500_000, 0.875), (500_001, 0.8), (800_000, 0.8), (800_001, 0.75), (1_000_000, 0.75),
        (8_000_000, 0.75),
    ],
)  # fmt: skip
def test_usual_sample_point_is_that_of_cia_and_linux(bitrate: int, sample_point: float) -> None:
    assert usual_sample_point(bitrate) == sample_point


CANDLELIGHT_CLOCKS = (48_000_000, 80_000_000)
PACKAGE_RATES = (10_000, 20_000, 50_000, 83_333, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000)


@pytest.mark.parametrize("bitrate", PACKAGE_RATES)
@pytest.mark.parametrize("clock", CANDLELIGHT_CLOCKS)
def test_every_rate_in_the_table_of_the_gs_usb_package(clock: int, bitrate: int) -> None:
    timing = find(clock, bitrate, 0.875, BXCAN)
    assert timing
    assert timing.bitrate(clock) == pytest.approx(bitrate, rel=1e-4)
    assert timing.sample_point == pytest.approx(0.875, abs=0.03)


@pytest.mark.parametrize(
    ("clock", "bitrate"),
    [(48_000_000, 33_333), (48_000_000, 95_238), (170_000_000, 500_000), (24_000_000, 615_000)],
)
def test_rates_and_clocks_missing_in_that_table(clock: int, bitrate: int) -> None:
    timing = find(clock, bitrate, None, BXCAN)
    assert timing
    assert timing.bitrate(clock) == pytest.approx(bitrate, rel=1e-3)


@pytest.mark.parametrize("bitrate", [125_000, 500_000, 1_000_000])
def test_timing_is_no_worse_than_python_cans(bitrate: int) -> None:
    theirs = can.BitTiming.from_sample_point(80_000_000, bitrate, 80.0)
    ours = find(80_000_000, bitrate, 0.8, BXCAN)
    assert ours
    assert ours.bitrate(80_000_000) == theirs.bitrate
    assert abs(ours.sample_point - 0.8) <= abs(theirs.sample_point / 100 - 0.8) + 1e-6


@given(
    st.integers(1_000_000, 200_000_000),
    st.integers(1_000, 8_000_000),
    st.none() | st.floats(0.5, 0.95),
    st.sampled_from([(BXCAN, Limits(1, 1, 1, 1), 1), (DATA, Limits(2, 4, 2, 1), 2)]),
)
def test_limits_and_steps_of_the_prescaler_are_kept(
    clock: int, bitrate: int, sample_point: float | None, kind: tuple[Limits, Limits, int]
) -> None:
    most, least, step = kind
    timing = find(clock, bitrate, sample_point, most, least, brp_step=step)
    if timing is not None:
        assert all(low <= value <= high for low, value, high in zip(least, timing, most, strict=True))
        assert (timing.brp - least.brp) % step == 0


def test_timing_in_words() -> None:
    assert Timing(6, 13, 2, 2).in_words(48_000_000) == "500000 bit/s, sample point 87.5 %"
