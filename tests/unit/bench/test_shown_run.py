"""The guide's page "How fast", its pictures and README show the run that is committed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench import lab_page
from tests.bench.committed_run import LAB_RUN, PAGE, PICTURES, README, RUN
from tests.bench.compare import spread
from tests.bench.curves import CURVES
from tests.bench.lab_windows import NOBODY, PROGRAMS, Plan, Window, rows_of, windows_of
from tests.bench.page import guide_figures, head, number, readme_figures, replaced, table
from tests.bench.plot import Axis, main, picture, pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

REMEDY = "Put the committed run into the pages: tests/bench/run --write measures a new one."


@pytest.fixture
def run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RUN.read_text())
    return found


def test_pages_have_the_figures_of_the_run(run: dict[str, Any]) -> None:
    for page, figures in ((PAGE, guide_figures(run)), (README, readme_figures(run))):
        assert replaced(page.read_text(), figures) == page.read_text(), REMEDY


@pytest.fixture
def lab_run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(LAB_RUN.read_text())
    return found


def test_page_has_the_figures_of_the_run_in_the_lab(lab_run: dict[str, Any]) -> None:
    text = PAGE.read_text()
    assert lab_page.replaced(text, lab_run) == text, "Measure a new one: tests/bench/lab --write"
    next(row for row in lab_run["rows"] if row["rounds"])["us"]["mcandump"] = 77.7
    assert " | 77.7 (" in lab_page.table(lab_run)


def test_run_in_the_lab_is_whole(lab_run: dict[str, Any]) -> None:
    programs = set(PROGRAMS) - {NOBODY}
    assert {"mcandump", "can-utils", "Linux of the lab"} <= lab_run["head"]["versions"].keys()
    assert [row["rate"] for row in lab_run["rows"]] == lab_run["plan"]["rates"]
    assert all(set(row["us"]) == programs for row in lab_run["rows"] if row["rounds"])
    assert any(row["rounds"] for row in lab_run["rows"])
    assert set(lab_run["profile"]) == programs
    assert lab_run["frames"]["cancorderd"]["sent"] == lab_run["frames"]["cancorderd"]["received"]


def test_rows_are_those_of_the_windows(lab_run: dict[str, Any]) -> None:
    rows = rows_of([Window(*window) for window in lab_run["windows"]])
    assert json.loads(json.dumps([row._asdict() for row in rows])) == lab_run["rows"]


def lab_windows(plan: Plan, slow: Sequence[float], idle: Sequence[float]) -> list[Window]:
    """Return windows of a machine that is so many times slower in each round, and sends as many times fewer frames."""
    cost_us = {NOBODY: 10.0, "cancorderd": 60.0, "mcandump": 40.0, "candump": 10.0}
    return [
        Window(program, rate, rate / slow[each], cost_us[program] * rate / 1e6, idle[each])
        for number, (program, rate) in enumerate(windows_of(plan))
        for each in [number // (len(PROGRAMS) * len(plan.rates))]
    ]


def test_a_frame_costs_what_it_costs_more_than_with_nobody() -> None:
    windows = lab_windows(Plan(rates=[100], rounds=3, seconds=1.0), slow=(1, 2, 1), idle=(0.6, 0.3, 0.6))
    (row,) = rows_of(windows)
    assert row.rounds == 3
    assert row.us == pytest.approx({"cancorderd": 50.0, "mcandump": 30.0, "candump": 0.0})
    assert row.spread_us["cancorderd"] == pytest.approx((50.0, 100.0))


def test_rounds_in_which_the_machine_was_never_idle_do_not_count(lab_run: dict[str, Any]) -> None:
    windows = lab_windows(Plan(rates=[100], rounds=2, seconds=1.0), slow=(1, 2), idle=(0.6, 0.01))
    (row,) = rows_of(windows)
    assert row.rounds == 1
    assert row.us["cancorderd"] == pytest.approx(50.0)
    (row,) = rows_of(windows[4:])
    assert row.rounds == 0
    text = lab_page.table(lab_run | {"rows": [row._asdict()]})
    assert text.splitlines()[-1] == "| 100 | 0 |  |  |  |"


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
