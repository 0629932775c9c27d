"""The history of buses: a sample a second for an hour, gaps, averages, a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.web import bus_history
from cancorderd.web.bus_history import SECONDS, BusHistory
from tests.unit.cli.ctl.sample_status import sample_bus

if TYPE_CHECKING:
    from cancorderd.control.protocol import BusStatus


def bus(rate: float, load: float = 0.5, name: str = "body") -> BusStatus:
    return sample_bus(name, frames={"received": 1, "per_second": rate, "error": 0, "remote": 0}, load=load)


def test_samples_in_order_up_to_the_latest() -> None:
    history = BusHistory()
    for second in range(3):
        history.add(100 + second, [bus(second * 10.0)])
    assert history.answer("body", 5000) == {
        "end": 5000,
        "step": 1,
        "rate": [0, 10, 20],
        "load": [0.5, 0.5, 0.5],
    }


def test_seconds_without_a_sample_are_gaps() -> None:
    history = BusHistory()
    history.add(100, [bus(1)])
    history.add(104, [bus(4)])
    answer = history.answer("body", 5000)
    assert answer
    assert answer["rate"] == [1, None, None, None, 4]


def test_a_sample_that_comes_late_leaves_no_gap() -> None:
    history = BusHistory()
    history.add(100, [bus(1)])
    history.add(102, [bus(3)])
    history.add(105, [bus(6)])
    answer = history.answer("body", 5000)
    assert answer
    assert answer["rate"] == [1, 3, 3, 6, 6, 6]


def test_a_second_sample_of_a_second_takes_the_place_of_the_first() -> None:
    history = BusHistory()
    history.add(100, [bus(1)])
    history.add(100, [bus(2)])
    answer = history.answer("body", 5000)
    assert answer
    assert answer["rate"] == [2]


def test_the_last_hour_is_kept() -> None:
    history = BusHistory()
    for second in range(SECONDS + 10):
        history.add(second, [bus(second)])
    answer = history.answer("body", 5000)
    assert answer
    assert (len(answer["rate"]), answer["rate"][0], answer["rate"][-1]) == (SECONDS, 10, SECONDS + 9)


@pytest.mark.parametrize("pause", [SECONDS - 1, SECONDS, 3 * SECONDS])
def test_nothing_older_than_an_hour_is_shown_after_a_long_pause(pause: int) -> None:
    history = BusHistory()
    history.add(5, [bus(7)])
    history.add(5 + pause, [bus(8)])
    answer = history.answer("body", 5000)
    assert answer
    assert answer["rate"][-1] == 8
    assert (7 in answer["rate"]) == (pause < SECONDS)
    assert answer["rate"].count(8) == 1


def test_a_sparkline_averages_what_is_known() -> None:
    history = BusHistory()
    for second, rate in ((0, 10), (1, 20), (5, 60)):
        history.add(second, [bus(rate)])
    answer = history.answer("body", 5000, seconds=10, step=5)
    assert answer
    assert answer["rate"] == [10, 40]  # the seconds -4 to 0, and 1 to 5


def test_buses_that_are_gone_are_forgotten_and_many_have_no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_history, "MOST_BUSES", 1)
    history = BusHistory()
    history.add(0, [bus(1, name="a"), bus(1, name="b")])
    assert history.answer("a", 5000)
    assert history.answer("b", 5000) is None
    history.add(1, [bus(1, name="b")])
    assert history.answer("a", 5000) is None
    assert history.answer("b", 5000)
