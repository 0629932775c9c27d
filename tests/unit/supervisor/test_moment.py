"""Moments before and after the clock is set."""

from __future__ import annotations

from cancorderd.supervisor.moment import Moment

YEARS_S = 55 * 365 * 86_400.0


def test_a_clock_that_is_set_does_not_change_the_distance() -> None:
    moment = Moment(100.0, 7.0)
    assert moment.epoch(160.0, YEARS_S) == YEARS_S - 60.0
    assert moment.epoch(170.0, YEARS_S + 10.0) == YEARS_S - 60.0
    assert moment.epoch(180.0, 1000.0) == 920.0


def test_small_corrections_of_the_clock_do_not_change_the_number() -> None:
    moment = Moment(100.0, 1000.0)
    assert moment.epoch(160.0, 1060.3) == 1000.0
    assert moment.epoch(170.0, 1069.9) == 1000.0
