"""The guide's pages "Forwarding to a hub" and "A fleet in fifteen minutes" show the run of tests/bench/hub that is committed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.committed_run import FLEET_PAGE, FORWARDING_PAGE, HUB_PICTURES, HUB_RUN
from tests.bench.fleet.__main__ import ROWS
from tests.bench.fleet.limits import GATEWAYS, SERIES, Growth, curves
from tests.bench.fleet.page import advice, fleet_figures, forwarding_figures, growth_table, replaced
from tests.bench.page import table
from tests.bench.plot import pictures

REMEDY = "Put the committed run into the pages: tests/bench/hub --write measures a new one."


@pytest.fixture
def run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(HUB_RUN.read_text())
    return found


def test_pages_have_the_figures_of_the_run(run: dict[str, Any]) -> None:
    for page, figures in ((FORWARDING_PAGE, forwarding_figures(run)), (FLEET_PAGE, fleet_figures(run))):
        assert replaced(page.read_text(), figures) == page.read_text(), REMEDY


def test_pictures_are_those_of_the_run(run: dict[str, Any]) -> None:
    kept = {path.name: path.read_text() for path in HUB_PICTURES.glob("*.svg")}
    assert kept == pictures(run), REMEDY
    points = [Growth(**point) for point in run["growth"]]
    assert json.loads(json.dumps([curve._asdict() for curve in curves(points)])) == run["curves"]


def test_run_is_whole(run: dict[str, Any]) -> None:
    assert len(ROWS) == 6
    assert {row["name"] for row in run["rows"]} == {
        "forwarder", "forwarder-flush-50", "forwarder-tls", "forwarder-many-buses", "memory", "memory-outage",
        "memory-after", "catching-up", "catching-up-tls", "slow-link", "slow-link-speed", "delay-median", "delay-p99",
        "delay-median-tls", "delay-p99-tls", "past", "past-cpu", "past-tls", "past-cpu-tls",
    }  # fmt: skip
    for series in SERIES:
        points = [point for point in run["growth"] if point["series"] == series.name]
        assert [point["gateways"] for point in points] == [*GATEWAYS[: len(points)]]
        assert len(points) == len(GATEWAYS) or not points[-1]["kept"]
        assert all(point["kept"] for point in points[:-1])
    assert {(each["hub"], each["sync"]) for each in run["capacity"]} == {
        ("box", "default"), ("box", "always"), ("bare", "default"),
    }  # fmt: skip
    assert {"commit", "date", "machine", "cores", "system", "load", "took_s"} <= run["head"].keys()
    assert {"Python", "nats-server", "nats-py"} == run["head"]["versions"].keys()


def test_another_figure_in_the_run_is_another_page(run: dict[str, Any]) -> None:
    next(row for row in run["rows"] if row["name"] == "forwarder")["figures"]["forwarder"] = 77.7
    assert "| 77.7 |" in table(run)
    run["growth"][0]["us"] = 66.6
    assert "| 66.6 |" in growth_table(run)


def test_advice_names_the_most_buses_that_the_hub_kept_up_with(run: dict[str, Any]) -> None:
    point = run["growth"][0]
    run["growth"] = [
        point | {"gateways": 50, "kept": True, "messages_per_s": 18_900.0, "cpu": 0.4},
        point | {"gateways": 100, "kept": False},
        point | {"series": "flush_ms 10, always", "kept": False},
    ]
    text = advice(run)
    assert "kept up with 200 buses with `flush_ms = 10` (18,900 messages/s, 40 % of a core)" in text
    assert (
        "none of the numbers of buses that were tried with `flush_ms = 10` and `sync_interval: always`"
        in text
    )
    assert text.count(". ") == 1, "two sentences"


def test_points_at_which_the_hub_fell_behind_are_in_no_picture(run: dict[str, Any]) -> None:
    points = [Growth(**{**point, "kept": point["gateways"] < 10}) for point in run["growth"]]
    for curve in curves(points):
        assert all(x < 10 for series in curve.series.values() for x, _ in series)
    run["growth"][0] |= {"kept": False, "messages_per_s": 1000.0, "due_per_s": 2000.0}
    assert "| 1,000 of 2,000 |" in growth_table(run)


def test_a_page_without_a_place_for_the_figures_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="lacks"):
        replaced("no marks", "figures")
