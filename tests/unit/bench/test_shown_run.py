"""The guide's page "How fast", its pictures and README show the run that is committed."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench.committed_run import PAGE, PICTURES, README, RUN
from tests.bench.compare import spread
from tests.bench.curves import CURVES
from tests.bench.page import guide_figures, head, number, readme_figures, replaced, table
from tests.bench.plot import Axis, main, picture, pictures

REMEDY = "Put the committed run into the pages: tests/bench/run --write measures a new one."


@pytest.fixture
def run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RUN.read_text())
    return found


def test_pages_have_the_figures_of_the_run(run: dict[str, Any]) -> None:
    for page, figures in ((PAGE, guide_figures(run)), (README, readme_figures(run))):
        assert replaced(page.read_text(), figures) == page.read_text(), REMEDY


def test_pictures_are_those_of_the_run(run: dict[str, Any]) -> None:
    kept = {path.name: path.read_text() for path in PICTURES.glob("*.svg")}
    assert kept == pictures(run), "Make them anew: tests/bench/plot"


def test_run_is_whole(run: dict[str, Any]) -> None:
    assert {curve["name"] for curve in run["curves"]} == {"rate", "clients", "buses", "memory", "delay"}
    assert len(CURVES) == 4, "buses and memory are of one measurement"
    assert {"quiet", "full-bus", "client", "fd", "status", "first-frame", "many-buses"} <= {
        row["name"] for row in run["rows"]
    }
    assert {"commit", "date", "machine", "cores", "system", "versions"} <= run["head"].keys()


def test_another_figure_in_the_run_is_another_page(run: dict[str, Any]) -> None:
    next(row for row in run["rows"] if row["name"] == "full-bus")["figures"]["cancorderd"] = 77.7
    assert "77.7 % of a core" in readme_figures(run)
    assert "| 77.7 |" in table(run)


def test_a_busy_machine_is_named(run: dict[str, Any]) -> None:
    run["head"] |= {"load": 0.1, "end_load": 2.04, "took_s": 420}
    assert "load 0.1 at the start and 2.0 at the end of 7 minutes" in head(run)
    assert "busy with other work" not in head(run)
    run["head"]["load"] = 5.0
    assert "busy with other work" in head(run)


def test_pictures_read_in_light_and_in_dark(run: dict[str, Any]) -> None:
    for text in pictures(run).values():
        ET.fromstring(text)
        assert "prefers-color-scheme: dark" in text


def test_plot_writes_the_pictures_of_a_run(tmp_path: Any, run: dict[str, Any]) -> None:
    main(RUN, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{curve['name']}.svg" for curve in run["curves"]}


def test_every_point_is_on_the_paper() -> None:
    series = {"a": [(1, 0.03), (20_000, 42.0)], "b": [(10, 0.0), (64, 99.0)]}
    text = picture({"title": "a < b", "x": "frames/s", "y": "%", "series": series})
    circles = ET.fromstring(text).findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 3, "0 has no place on a logarithmic axis"
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < 640
        assert 0 < float(circle.attrib["cy"]) < 360


def test_axis_has_whole_decades() -> None:
    axis = Axis([3, 400], 0, 300)
    assert axis.ticks == [1, 10, 100, 1000]
    assert (axis.place(1), axis.place(1000)) == (0, 300)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0345, "0.0345"), (5.437, "5.44"), (123.4, "123"), (1_094_321, "1,090,000")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_spread_is_median_least_and_most() -> None:
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
