from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.replay_pace import Pace


def test_pace_keeps_the_distances_of_the_log() -> None:
    pace = Pace(2.0, 100.0)
    assert [pace.due_s(stamp) for stamp in (50.0, 51.0, 50.5, 54.0)] == [100.0, 100.5, 100.5, 102.0]
    assert (pace.gaps, pace.steps_back) == (0, 0)


def test_pace_never_starts_before_its_start() -> None:
    pace = Pace(1.0, 100.0)
    pace.due_s(50.0)
    assert pace.due_s(49.5) == 100.0


def test_gap_of_an_hour_is_kept_and_a_longer_one_is_a_second() -> None:
    pace = Pace(2.0, 100.0)
    assert [pace.due_s(stamp) for stamp in (0.0, 3600.0, 1.7e9, 1.7e9 + 4)] == [100.0, 1900.0, 1900.5, 1902.5]
    assert pace.gaps == 1


def test_log_goes_on_at_once_after_a_step_back() -> None:
    pace = Pace(1.0, 100.0)
    assert [pace.due_s(stamp) for stamp in (1.7e9, 1.7e9 + 1, 0.0, 2.0)] == [100.0, 101.0, 101.0, 103.0]
    assert pace.steps_back == 1


def test_frame_out_of_order_does_not_move_those_after_it() -> None:
    pace = Pace(1.0, 0.0)
    assert [pace.due_s(stamp) for stamp in (5.0, 6.0, 5.2, 6.5, 5.6, 7.0)] == [0.0, 1.0, 1.0, 1.5, 1.5, 2.0]


def test_stamp_that_is_no_number_is_due_at_once() -> None:
    pace = Pace(1.0, 7.0)
    assert [pace.due_s(stamp) for stamp in (math.nan, 1.0, math.inf, 2.0)] == [7.0, 7.0, 7.0, 8.0]


@given(st.lists(st.floats(), max_size=30), st.floats(1e-3, 1e6))
def test_no_frame_is_due_before_another_or_in_ages(stamps: list[float], speed: float) -> None:
    pace = Pace(speed, 100.0)
    dues = [pace.due_s(stamp) for stamp in stamps]
    assert dues == sorted(dues)
    assert all(100.0 <= due <= 100.0 + 3601 * len(stamps) / speed for due in dues)
