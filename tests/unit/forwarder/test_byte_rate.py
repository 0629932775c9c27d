"""How long the spool lasts."""

from __future__ import annotations

import pytest

from cancorderd.forwarder.byte_rate import ByteRate


def measured(rate: ByteRate, *sizes: int, start_s: int = 100) -> ByteRate:
    """Measure once a second, `sizes` bytes each."""
    rate.measure(start_s)
    for second, size in enumerate(sizes, start_s + 1):
        rate.add(size)
        rate.measure(second)
    return rate


def test_lasts_at_the_present_rate() -> None:
    rate = measured(ByteRate(), *[1000] * 20)
    assert rate.lasts_s(60_000) == 60.0
    assert rate.lasts_s(-5) == 0.0
    assert measured(rate, *[500] * 100, start_s=200).lasts_s(60_000) == pytest.approx(120.0, rel=0.01)


def test_time_before_the_first_measurement_does_not_count() -> None:
    """The monotonic clock begins with the machine, which may have run for days."""
    rate = ByteRate()
    rate.measure(1_000_000.0)
    assert rate.lasts_s(60_000) is None
    rate.add(1000)
    rate.measure(1_000_001.0)
    assert rate.lasts_s(60_000) == 60.0


def test_measurements_that_follow_at_once_are_one() -> None:
    rate = measured(ByteRate(), 1000)
    rate.add(1000)
    rate.measure(101.1)
    assert rate.lasts_s(1000) == 1.0


@pytest.mark.parametrize("silence", [0, 200, 10_000])
def test_silent_buses_fill_nothing(silence: int) -> None:
    """Their average must not become so small that the time is infinite, which JSON cannot hold."""
    traffic = [100_000] if silence else []
    rate = measured(ByteRate(), *traffic, *[0] * silence)
    assert rate.lasts_s(1_000_000_000) is None


def test_traffic_after_silence_counts_at_once() -> None:
    rate = measured(ByteRate(), 100_000, *[0] * 500)
    assert measured(rate, 2000, start_s=1000).lasts_s(4000) == 2.0
