"""Growth over a soak: the warm-up does not count, and a single high value is no growth."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.faults.growth import MOST, SERIES, Sample, growth, plot


def samples(*values: int) -> list[Sample]:
    """Return a sample every 10 s with these values in all series."""
    return [Sample(10.0 * index, value, value, value, value) for index, value in enumerate(values)]


WARM_UP = [10, 20, 40, 60, 80, 90]


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([*WARM_UP, *[100] * 10], 0.0),
        ([*WARM_UP, *[100] * 5, *[110] * 5], 0.1),
        ([*WARM_UP, *[100] * 5, *[90] * 5], -0.1),
        ([*WARM_UP, *[100] * 9, 500], 0.0),
    ],
)
def test_growth_is_that_of_the_medians_after_the_warm_up(values: list[int], grown: float) -> None:
    assert growth(samples(*values), "supervisor_bytes") == pytest.approx(grown)


def test_slow_leak_is_growth() -> None:
    for length in (60, 360):
        assert growth(samples(*range(1000, 1000 + length)), "workers_descriptors") > MOST


def test_plot_has_a_curve_for_the_warm_up_and_one_for_the_rest_of_each_series() -> None:
    tree = ET.fromstring(plot(samples(*WARM_UP, *[100] * 10)))
    curves = tree.findall(".//{*}polyline")
    assert len(curves) == 2 * len(SERIES)
    titles = [text.text or "" for text in tree.findall(".//{*}text")]
    assert any(title.startswith("supervisor bytes: +0.0% after the first minute") for title in titles)
