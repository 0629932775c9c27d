from __future__ import annotations

from cancorderd.supervisor.loss_estimate import LossEstimate


def running(rate: float = 1000.0) -> LossEstimate:
    """Return the estimate of a bus whose worker reported this rate at 10 s. It will be a tenth above the rate."""
    estimate = LossEstimate()
    assert estimate.source_open(10.0, rate) == 0
    return estimate


def test_a_crash_costs_the_frames_from_the_last_report_to_the_next_open_source() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.source_open(12.5, None) == 2750
    assert estimate.source_open(13.5, 900.0) == 0, "counted once"


def test_crashes_before_the_source_is_open_again_are_one_loss() -> None:
    estimate = running()
    estimate.crashed(10.4)
    estimate.crashed(11.4)
    assert estimate.source_open(13.0, None) == 3300


def test_a_worker_too_young_for_a_rate_has_that_of_the_one_before() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.source_open(11.0, None) == 1100
    estimate.crashed(11.9)
    assert estimate.source_open(12.0, None) == 1100


def test_traffic_that_was_just_beginning_does_not_make_the_estimate_too_low() -> None:
    estimate = running(1000.0)
    estimate.source_open(11.0, 600.0)
    estimate.crashed(11.5)
    assert estimate.source_open(12.0, None) == 1100


def test_rates_of_long_ago_do_not_count() -> None:
    estimate = running(1000.0)
    for second in range(11, 14):
        estimate.source_open(float(second), 100.0)
    estimate.crashed(13.5)
    assert estimate.source_open(14.0, None) == 110


def test_an_end_in_order_costs_nothing() -> None:
    estimate = running()
    estimate.ended()
    assert estimate.source_open(20.0, None) == 0


def test_an_end_in_order_after_a_crash_does_not_end_the_loss() -> None:
    estimate = running()
    estimate.crashed(10.4)
    estimate.ended()
    assert estimate.source_open(12.0, None) == 2200


def test_an_absent_adapter_adds_nothing() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.adapter_absent() == 440, "until the crash alone"
    assert estimate.source_open(3600.0, None) == 0
    waiting = running()
    waiting.adapter_absent()
    waiting.crashed(11.0)
    assert waiting.source_open(20.0, None) == 0


def test_a_worker_that_crashes_before_its_source_is_open_takes_nothing_along() -> None:
    estimate = LossEstimate()
    estimate.crashed(1.0)
    assert estimate.source_open(5.0, None) == 0


def test_a_stopped_bus_loses_nothing_more() -> None:
    estimate = running()
    estimate.crashed(10.4)
    assert estimate.unwanted(11.0) == 1100
    assert estimate.source_open(3600.0, None) == 0
    assert running().unwanted(20.0) == 0


def test_a_crash_before_any_rate_is_known_costs_nothing_that_could_be_told() -> None:
    estimate = LossEstimate()
    assert estimate.source_open(10.0, None) == 0
    estimate.crashed(10.4)
    assert estimate.source_open(12.0, None) == 0
