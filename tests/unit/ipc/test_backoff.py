from __future__ import annotations

import pytest

from cancorderd.ipc.backoff import Backoff


def test_delays_double_from_the_first_to_the_longest() -> None:
    backoff = Backoff(1.0, 10.0)
    assert [backoff.delay_s(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_any_number_of_failures_gives_the_longest_delay() -> None:
    assert Backoff(0.25, 60.0).delay_s(1_000_000) == 60


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_delay_without_jitter_is_always_the_same(chance: float) -> None:
    assert Backoff(1.0, 10.0).delay_s(2, chance) == 2


def test_default_chance_selects_the_middle_of_the_jitter() -> None:
    assert Backoff(10.0, 60.0, jitter=0.2).delay_s(1) == 10


@pytest.mark.parametrize(("chance", "expected_s"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_jitter_varies_the_delay_in_both_directions(chance: float, expected_s: float) -> None:
    assert Backoff(10.0, 60.0, jitter=0.2).delay_s(1, chance) == pytest.approx(expected_s)
