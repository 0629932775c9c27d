from __future__ import annotations

import bisect
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cancorderd.ipc.messages import BusReport, ClientReport, Counts
from cancorderd.supervisor.loss_estimate import LossEstimate, frames_unsent


def running(rate: int = 1000) -> LossEstimate:
    """Return the estimate of a bus whose worker reported this rate at 10 s.

    It will be a tenth above the rate, and the frames of 0.1 s for each crash.
    """
    estimate = LossEstimate()
    assert estimate.source_open(9.0, 0) == 0
    assert estimate.source_open(10.0, rate) == 0
    return estimate


def test_a_crash_costs_the_frames_from_the_last_report_to_the_next_open_source() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.source_open(12.5, 1000) == 2850
    assert estimate.source_open(13.5, 1900) == 0, "counted once"


def test_crashes_before_the_source_is_open_again_are_one_loss() -> None:
    estimate = running()
    estimate.crashed(10.4)
    estimate.crashed(11.4)
    assert estimate.source_open(13.0, 1000) == 3400


def test_a_worker_too_young_for_a_rate_has_that_of_the_one_before() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.source_open(11.0, 1000) == 1200
    estimate.crashed(11.4)
    assert estimate.source_open(12.0, 1000) == 1200


def test_traffic_that_was_just_beginning_does_not_make_the_estimate_too_low() -> None:
    estimate = running(1000)
    estimate.source_open(11.0, 1600)
    estimate.crashed(11.5)
    assert estimate.source_open(12.0, 1600) == 1200


def test_rates_of_long_ago_do_not_count() -> None:
    estimate = running(1000)
    for second in range(11, 14):
        estimate.source_open(float(second), 1000 + 100 * (second - 10))
    estimate.crashed(13.5)
    assert estimate.source_open(14.0, 1300) == 120


def test_a_higher_rate_after_the_outage_raises_the_estimate() -> None:
    estimate = running(100)
    estimate.crashed(10.4)
    assert estimate.source_open(11.0, 100) == 120
    assert estimate.source_open(11.4, 500) == 0, "too soon for a rate"
    assert estimate.source_open(12.0, 1100) == 1080, "1200 in all, at 1000 frames/s"
    assert estimate.source_open(13.0, 9100) == 0, "the first rate counts"


def test_outages_without_a_rate_between_are_raised_together() -> None:
    estimate = running(100)
    for crash_s in (10.4, 11.4):
        estimate.crashed(crash_s)
        assert estimate.source_open(crash_s + 0.6, 100) == 120
    assert estimate.source_open(13.0, 1100) == 2160


def test_a_crash_before_any_rate_is_counted_at_the_rate_after() -> None:
    estimate = LossEstimate()
    assert estimate.source_open(10.0, 0) == 0
    estimate.crashed(10.4)
    assert estimate.source_open(12.0, 0) == 0
    assert estimate.source_open(13.0, 1000) == 2300


def test_the_time_in_which_no_source_was_open_lowers_no_rate() -> None:
    estimate = running()
    estimate.ended()
    assert estimate.source_open(20.0, 1000) == 0
    estimate.source_open(21.0, 2000)
    estimate.crashed(21.0)
    assert estimate.source_open(22.0, 2000) == 1200
    absent = running()
    absent.adapter_absent()
    assert absent.source_open(20.0, 1000) == 0
    absent.source_open(21.0, 2000)
    absent.crashed(21.0)
    assert absent.source_open(22.0, 2000) == 1200


def test_an_end_in_order_costs_nothing() -> None:
    estimate = running()
    estimate.ended()
    assert estimate.source_open(20.0, 1000) == 0


def test_an_end_in_order_after_a_crash_does_not_end_the_loss() -> None:
    estimate = running()
    estimate.crashed(10.4)
    estimate.ended()
    assert estimate.source_open(12.0, 1000) == 2300


def test_an_absent_adapter_adds_nothing() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.adapter_absent() == 540, "until the crash alone"
    assert estimate.source_open(3600.0, 1000) == 0
    assert estimate.source_open(3601.0, 9000) == 0
    waiting = running()
    waiting.adapter_absent()
    waiting.crashed(11.0)
    assert waiting.source_open(20.0, 1000) == 0
    crashing = running()
    crashing.crashed(10.4)
    crashing.crashed(60.0)
    assert crashing.adapter_absent() == 540, "until the first crash"


def test_a_worker_that_crashes_before_its_source_is_open_takes_nothing_along() -> None:
    estimate = LossEstimate()
    estimate.crashed(1.0)
    assert estimate.source_open(5.0, 0) == 0


def test_a_stopped_bus_loses_nothing_more() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.unwanted(11.0) == 1200
    assert estimate.source_open(3600.0, 1000) == 0
    assert estimate.source_open(3601.0, 9000) == 0
    assert running().unwanted(20.0) == 0


@dataclass(frozen=True)
class Traffic:
    """Frames of a bus whose rate changes, by their arrival in milliseconds, and a crash; the worker starts at 0."""

    rates: list[int]
    """Frames per second: of a second each."""
    crash_ms: int
    away_ms: int
    """From the crash to the next open source."""
    unread_ms: int = 0
    """How long frames wait before the worker reads them."""

    def arrivals(self) -> list[int]:
        """Return the arrivals; the last rate goes on."""
        found, due = [], 0.0
        while due < 1000 * (len(self.rates) + 10):
            found.append(int(due))
            due += 1000 / self.rates[min(int(due / 1000), len(self.rates) - 1)]
        return found

    def estimated_and_lost(self) -> tuple[int, int]:
        """Return what the supervisor estimates from reports each second, and the truth."""
        arrivals = self.arrivals()

        def until(time_ms: int) -> int:
            return bisect.bisect_left(arrivals, time_ms)

        back_ms = self.crash_ms + self.away_ms
        read = until(self.crash_ms - self.unread_ms)
        lost = until(back_ms) - read
        estimate, estimated = LossEstimate(), 0
        for report_ms in range(0, self.crash_ms, 1000):
            estimated += estimate.source_open(report_ms / 1000, until(report_ms - self.unread_ms))
        estimate.crashed(self.crash_ms / 1000)
        reported = until(self.crash_ms // 1000 * 1000 - self.unread_ms)
        for report_ms in range(back_ms, back_ms + 4000, 1000):
            received = reported + until(report_ms) - until(back_ms)
            estimated += estimate.source_open(report_ms / 1000, received)
        return estimated, lost


CRASHES_MS = st.integers(4000, 5999)
AWAY_MS = st.integers(300, 8000)
UNREAD_MS = st.integers(0, 80)


@pytest.mark.hypothesis
@settings(derandomize=True, deadline=None)
@given(st.integers(5, 2000), CRASHES_MS, AWAY_MS, UNREAD_MS)
@example(200, 5001, 300, 80)
@example(200, 5999, 300, 0)
def test_the_estimate_of_a_steady_bus_is_within_its_bounds(
    rate: int, crash_ms: int, away_ms: int, unread_ms: int
) -> None:
    estimated, lost = Traffic([rate], crash_ms, away_ms, unread_ms).estimated_and_lost()
    assert lost <= estimated <= 2 * lost + rate + 1


@pytest.mark.hypothesis
@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(500, 700), min_size=3, max_size=3), CRASHES_MS, st.integers(1000, 8000))
def test_the_estimate_of_a_bus_with_varying_rates_is_within_its_bounds(
    rates: list[int], crash_ms: int, away_ms: int
) -> None:
    estimated, lost = Traffic(6 * rates, crash_ms, away_ms).estimated_and_lost()
    assert lost <= estimated <= 2 * lost + max(rates) + 1


@pytest.mark.hypothesis
@settings(derandomize=True, deadline=None)
@given(st.integers(5, 200), st.integers(1, 20), st.integers(3, 7), CRASHES_MS, AWAY_MS)
def test_the_estimate_of_a_bus_that_becomes_busy_is_not_too_low(
    rate: int, times: int, rises_s: int, crash_ms: int, away_ms: int
) -> None:
    back_s = -((crash_ms + away_ms) // -1000)
    rates = [rate] * min(rises_s, back_s) + [times * rate]
    estimated, lost = Traffic(rates, crash_ms, away_ms).estimated_and_lost()
    assert estimated >= lost


@pytest.mark.hypothesis
@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.integers(5, 1000), min_size=2, max_size=12).map(lambda rates: sorted(rates, reverse=True)),
    CRASHES_MS,
    AWAY_MS,
)
def test_the_estimate_of_a_bus_that_becomes_quiet_is_not_too_low(
    rates: list[int], crash_ms: int, away_ms: int
) -> None:
    estimated, lost = Traffic(rates, crash_ms, away_ms).estimated_and_lost()
    assert estimated >= lost


def report(backlogs: list[int], received: int, payload_bytes: int) -> BusReport:
    clients = [ClientReport("192.0.2.1:1", 0.0, 0, 0, size) for size in backlogs]
    return BusReport("running", "", None, Counts(received=received, payload_bytes=payload_bytes), clients, {})


def test_unsent_frames_are_counted_by_their_mean_size() -> None:
    assert frames_unsent(report([2200, 0, 220], 50, 50 * 8)) == 110
    assert frames_unsent(report([1400], 10, 0)) == 100
    assert frames_unsent(report([0, 0], 10, 80)) == 0
    assert frames_unsent(report([22], 0, 0)) == 0, "of an earlier daemon: no frame is known"
