"""Bit timing against the gs_usb package's table, python-can's calculation and the limits themselves."""

from __future__ import annotations

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.sources.bit_timing import Limits, bit_timing, usual_sample_point

CANDLELIGHT = Limits(1, 16, 1, 8, 4, 1, 1024, 1)
CANDLELIGHT_FD = Limits(1, 256, 1, 128, 128, 1, 512, 1)
FD_DATA_PHASE = Limits(1, 32, 1, 16, 16, 1, 32, 1)

RATES = (10_000, 20_000, 50_000, 83_333, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000)


@pytest.mark.parametrize("bitrate", RATES)
@pytest.mark.parametrize("clock_hz", [48_000_000, 80_000_000])
def test_every_rate_of_the_packages_table_is_met(clock_hz: int, bitrate: int) -> None:
    timing = bit_timing(clock_hz, bitrate, 0.875, CANDLELIGHT)
    assert timing
    assert timing.bitrate(clock_hz) == pytest.approx(bitrate, rel=1e-4)
    assert timing.sample_point == pytest.approx(0.875, abs=0.03)


@pytest.mark.parametrize(
    ("clock_hz", "bitrate"),
    [(48_000_000, 33_333), (48_000_000, 95_238), (170_000_000, 500_000), (24_000_000, 615_000)],
)
def test_rates_and_clocks_beyond_the_table(clock_hz: int, bitrate: int) -> None:
    timing = bit_timing(clock_hz, bitrate, None, CANDLELIGHT)
    assert timing
    assert timing.bitrate(clock_hz) == pytest.approx(bitrate, rel=0.005)


def test_timing_is_the_packages_where_that_is_exact() -> None:
    timing = bit_timing(48_000_000, 500_000, None, CANDLELIGHT)
    assert timing
    assert (timing.brp, timing.prop_seg + timing.phase_seg1, timing.phase_seg2) == (6, 13, 2)


@pytest.mark.parametrize("bitrate", [125_000, 500_000, 1_000_000])
def test_no_worse_than_python_cans(bitrate: int) -> None:
    theirs = can.BitTiming.from_sample_point(80_000_000, bitrate, 80.0)
    ours = bit_timing(80_000_000, bitrate, 0.8, CANDLELIGHT)
    assert ours
    assert ours.bitrate(80_000_000) == theirs.bitrate
    assert abs(ours.sample_point - 0.8) <= abs(theirs.sample_point / 100 - 0.8) + 1e-9


def test_data_phase() -> None:
    timing = bit_timing(80_000_000, 5_000_000, None, FD_DATA_PHASE)
    assert timing
    assert (timing.bitrate(80_000_000), timing.sample_point) == (5_000_000, 0.75)


def test_rate_that_the_clock_cannot_do() -> None:
    assert bit_timing(48_000_000, 7_000_000, None, CANDLELIGHT) is None
    assert bit_timing(8_000_000, 900_000, None, CANDLELIGHT) is None
    assert bit_timing(48_000_000, 1_000, None, CANDLELIGHT) is None


def test_usual_sample_points_are_the_kernels() -> None:
    assert [usual_sample_point(rate) for rate in (500_000, 800_000, 1_000_000)] == [0.875, 0.8, 0.75]


@given(
    st.integers(1_000_000, 200_000_000),
    st.integers(1_000, 8_000_000),
    st.none() | st.floats(0.5, 0.95),
    st.sampled_from([CANDLELIGHT, CANDLELIGHT_FD, FD_DATA_PHASE]),
)
def test_what_is_found_is_within_all_limits(
    clock_hz: int, bitrate: int, sample_point: float | None, limits: Limits
) -> None:
    timing = bit_timing(clock_hz, bitrate, sample_point, limits)
    if timing is None:
        return
    assert timing.bitrate(clock_hz) == pytest.approx(bitrate, rel=0.0051)
    assert limits.brp_min <= timing.brp <= limits.brp_max
    assert limits.tseg1_min <= timing.prop_seg + timing.phase_seg1 <= limits.tseg1_max
    assert limits.tseg2_min <= timing.phase_seg2 <= limits.tseg2_max
    assert 1 <= timing.sjw <= min(limits.sjw_max, timing.phase_seg2)
