"""The page of `status --watch`."""

from __future__ import annotations

import pytest

from cancorderd.cli.ctl.watch_page import Snapshot, page
from cancorderd.cli.ctl.watch_view import View
from tests.unit.cli.ctl.sample_status import sample_bus, sample_status
from tests.unit.cli.ctl.test_fitted_bus_table import text

NOTHING_CHOSEN = View()


def shown(
    snapshot: Snapshot, size: tuple[int, int] = (120, 24), now: float = 1185.0, view: View = NOTHING_CHOSEN
) -> list[str]:
    return [line.rstrip() for line in text(page(snapshot, now, "12:00:00", size, view=view))]


def test_page() -> None:
    lines = shown(Snapshot().updated(sample_status(sample_bus()), 1185.0))
    assert lines[0] == "cancorderd 0.1.0, process 4, up 1m01s, /x.toml: 1 of 1 buses running"
    assert lines[1] == "12:00:00  1234 frames/s, 1 client, 6 lost; q quits, ? help"
    assert lines[2] == ""
    assert lines[3].startswith("BUS ")
    assert lines[4].startswith("body ")
    assert "██▎" in lines[4]


def test_page_before_the_first_answer() -> None:
    lines = page(Snapshot(problem="cancorderd is not running; waiting"), 5.0, "12:00:00", (80, 24))
    assert text(lines) == [
        "cancorderd",
        "cancorderd is not running; waiting",
        "12:00:00  0 frames/s, 0 clients, 0 lost; q quits, ? help",
    ]
    assert lines[1][0][1] == "bold white on red"


def test_last_answer_is_dim_if_the_daemon_is_gone() -> None:
    snapshot = (
        Snapshot()
        .updated(sample_status(sample_bus()), 1185.0)
        ._replace(problem="cancorderd is not running; waiting")
    )
    lines = page(snapshot, 1190.0, "12:00:00", (120, 24))
    assert text(lines)[1] == "cancorderd is not running; waiting; the answer below is 5s old"
    assert {style for line in lines[4:] for _, style in line} == {"dim"}
    assert "3m05s" in text(lines)[5], "ages are those of the answer"


def test_answer_ends_a_problem_and_shows_which_buses_lost_frames() -> None:
    lost = {"kernel": 1, "adapter": 2, "clients": 4}
    first = Snapshot(problem="x").updated(sample_status(sample_bus("a"), sample_bus("b")), 1.0)
    assert (first.problem, set(first.losing)) == ("", set())
    assert set(first.updated(sample_status(sample_bus("a", lost=lost), sample_bus("b")), 2.0).losing) == {"a"}
    assert set(first.updated(sample_status(sample_bus("new", lost=lost)), 2.0).losing) == set()


def test_low_window_shows_failing_buses_first_and_how_to_scroll() -> None:
    buses = [sample_bus(f"bus{number}") for number in range(30)] + [
        sample_bus("bad", state="failed", reason="why not")
    ]
    lines = shown(Snapshot().updated(sample_status(*buses), 1185.0), (140, 10))
    assert "buses 1 to 6 of 31, j and k scroll; " in lines[1]
    assert [line.split()[0] for line in lines[4:]] == ["bad", "bus0", "bus1", "bus2", "bus3", "bus4"]


@pytest.mark.parametrize("height", range(3, 30))
@pytest.mark.parametrize("width", [20, 40, 80, 140])
def test_the_selected_bus_and_its_reason_are_on_every_page(width: int, height: int) -> None:
    reason = "there is no interface can7. Plug it in."
    buses = [sample_bus(f"bus{number}", state="waiting", reason=reason) for number in range(30)]
    snapshot = Snapshot().updated(sample_status(*buses), 1185.0)
    lines = shown(snapshot, (width, height), view=View(selected="bus17", order="name"))
    assert len(lines) <= height
    assert any(line.startswith("bus17") and "waiting" in line for line in lines)
    if height > 5:
        assert "Plug it in." in " ".join(lines)


def test_words_are_not_broken() -> None:
    reason = "the adapter at /dev/ttyACM0 refuses S6 (bitrate). Use another setting, or check its firmware."
    lines = shown(Snapshot().updated(sample_status(sample_bus(state="failed", reason=reason)), 1.0), (40, 24))
    assert all(len(line) <= 40 for line in lines)
    assert reason in " ".join(lines)
    assert lines[0] == "cancorderd 0.1.0, process 4, up ..."


def test_help_replaces_the_table() -> None:
    snapshot = Snapshot().updated(sample_status(sample_bus()), 1.0)
    lines = shown(snapshot, (120, 24), view=View(help=True))
    assert lines[3].startswith("q, Ctrl+C ")
    assert not any(line.startswith("BUS ") for line in lines)


def test_a_question_and_an_outcome_are_headings() -> None:
    snapshot = Snapshot().updated(sample_status(sample_bus()), 1.0)
    asking = shown(snapshot, (120, 24), view=View(selected="body", asking=True))
    assert asking[1] == "Restart body? y restarts it, any other key does not"
    assert (
        shown(snapshot, (120, 24), view=View(note="Restarted body: running"))[1] == "Restarted body: running"
    )


def test_headings_are_cut_in_narrow_windows() -> None:
    lines = shown(Snapshot().updated(sample_status(sample_bus()), 1185.0), (30, 24))
    assert all(len(line) <= 30 for line in lines[:5])
