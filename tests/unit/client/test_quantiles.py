"""Quantiles: exact for small values, within 0.2 % for large ones, in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.client.quantiles import Quantiles


def of(values: list[int]) -> Quantiles:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    return quantiles


def test_without_values_there_is_none() -> None:
    empty = of([])
    assert (empty.quantile(0.5), empty.highest, len(empty)) == (None, None, 0)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 1 << 62), min_size=1), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_quantiles_are_those_of_the_sorted_values(values: list[int], share: float) -> None:
    expected = sorted(values)[math.ceil(share * len(values)) - 1]
    found = of(values).quantile(share)
    assert found is not None
    assert found <= expected
    assert found == pytest.approx(expected, rel=0.002)
    assert of(values).highest == max(values)


def test_small_values_are_exact() -> None:
    values = of([*range(100), 1023])
    assert [values.quantile(share) for share in (0.5, 0.99, 1.0)] == [50, 99, 1023]


def test_memory_is_bounded() -> None:
    quantiles = of([number * number for number in range(200_000)])
    assert len(quantiles._counts) < 20_000
