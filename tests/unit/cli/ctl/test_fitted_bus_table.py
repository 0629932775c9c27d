"""The table of buses in windows of different widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.ctl.bus_table import bus_table
from cancorderd.cli.ctl.fitted_bus_table import bar, bus_lines, failing_first, fit
from cancorderd.cli.ctl.text_table import text_lines
from tests.unit.cli.ctl.sample_status import sample_bus

if TYPE_CHECKING:
    from cancorderd.cli.ctl.text_table import Line

LONG = "/dev/serial/by-id/usb-Openlight_Labs_CANable2_2070359B5730-if00"


def text(lines: list[Line]) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in lines]


def styles(lines: list[Line]) -> dict[str, str]:
    """Return the style of each piece of text."""
    return {piece.strip(): style for line in lines for piece, style in line if piece.strip()}


def test_wide_window_shows_the_plain_table() -> None:
    buses = [sample_bus(reason="because", state="failed"), sample_bus("x")]
    plain = text_lines(bus_table(buses, 1185.0))
    assert [line.rstrip() for line in text(bus_lines(buses, 1185.0, 200))] == plain


@pytest.mark.parametrize("width", range(28, 160, 3))
def test_columns_fit_the_window(width: int) -> None:
    buses = [
        sample_bus(channel=LONG, state="failed", reason="no such thing. Do this, and that."),
        sample_bus("x"),
    ]
    for bars in ("", "blocks"):
        lines = text(bus_lines(buses, 1185.0, width, bars=bars))
        table = lines[: len(buses) + 1]
        assert all(len(line) <= width for line in table)
        assert all(word in table[0] for word in ("BUS", "STATE", "LOST"))
        assert any("no such thing. Do this, and that." in line for line in lines)


def test_narrower_windows_omit_reasons_then_shorten_channels_then_omit_columns() -> None:
    table = bus_table([sample_bus(channel=LONG, state="failed", reason="why")], 1185.0)
    full = len(text_lines(table)[1])
    assert fit(table, full) == (table, False, [])
    below = fit(table, full - 1)
    assert (below.reasons_below, below.omitted) == (True, [])
    assert LONG in below.table.rows[0]
    short = fit(table, full - 40)
    assert short.omitted == []
    assert short.table.rows[0][3].startswith("...")
    assert LONG.endswith(short.table.rows[0][3][3:])
    assert fit(table, 80).omitted == ["RESTARTS", "INTERFACE"]


def test_omitted_columns_are_named() -> None:
    lines = text(bus_lines([sample_bus()], 1185.0, 60))
    assert lines[-1] == "A wider window also shows RESTARTS, INTERFACE, SINCE, CLIENTS."


@pytest.mark.parametrize(
    ("state", "style"),
    [
        ("running", "green"),
        ("waiting", "yellow"),
        ("starting", "cyan"),
        ("stopping", "cyan"),
        ("backoff", "red"),
        ("failed", "red"),
        ("stopped", "dim"),
        ("disabled", "dim"),
    ],
)
def test_states_have_colours(state: str, style: str) -> None:
    lines = bus_lines([sample_bus(state=state, reason="the reason")], 1185.0, 200)
    assert styles(lines)[state] == style
    assert styles(lines)["the reason"] == ("yellow" if state in ("running", "stopped", "disabled") else style)


def test_lost_frames_are_red_and_recent_losses_more_so() -> None:
    lost = {"kernel": 4711, "adapter": 0, "clients": 0}
    none = {"kernel": 0, "adapter": 0, "clients": 0}
    assert styles(bus_lines([sample_bus(lost=lost)], 1185.0, 200))["4711"] == "bold red"
    assert (
        styles(bus_lines([sample_bus(lost=lost)], 1185.0, 200, losing={"body"}))["4711"]
        == "bold white on red"
    )
    clean = bus_lines([sample_bus(lost=none, restarts=3)], 1185.0, 200)
    assert styles(clean)["0"] == ""


def test_past_errors_are_dim() -> None:
    assert styles(bus_lines([sample_bus(last_error="gone")], 1185.0, 200))["was: gone"] == "dim"


def test_impaired_recording_stands_out() -> None:
    recording = {"state": "recording", "reason": "", "file": "/x.log", "bytes": 10**6, "dropped": 0}
    fine = styles(bus_lines([sample_bus(recording=recording)], 1185.0, 200))
    assert (fine["1.0 MB"], fine["records to /x.log"]) == ("", "dim")
    stopped = sample_bus(recording=recording | {"state": "stopped", "reason": "the disk is full"})
    looks = styles(bus_lines([stopped], 1185.0, 200))
    assert (looks["stopped"], looks["recording stopped: the disk is full"]) == ("bold red", "yellow")


@pytest.mark.parametrize(
    ("share", "blocks", "signs"),
    [(0, "    ", "    "), (1, "████", "####"), (0.5, "██  ", "##  "), (0.53, "██▏ ", "##  "), (7, "████", "####"), (-1, "    ", "    ")],
)  # fmt: skip
def test_bars(share: float, blocks: str, signs: str) -> None:
    assert bar(share, width=4) == blocks
    assert bar(share, "ascii", 4) == signs


def test_bars_are_shown_if_there_is_room() -> None:
    assert "██" in text(bus_lines([sample_bus()], 1185.0, 120, bars="blocks"))[1]
    assert "##" in text(bus_lines([sample_bus()], 1185.0, 120, bars="ascii"))[1]
    assert "█" not in text(bus_lines([sample_bus()], 1185.0, 60, bars="blocks"))[1]


def test_failing_buses_come_first() -> None:
    buses = [
        sample_bus("a"),
        sample_bus("b", state="failed"),
        sample_bus("c", state="stopped"),
        sample_bus("d", state="waiting"),
    ]
    assert [bus["name"] for bus in failing_first(buses)] == ["b", "d", "a", "c"]


def test_no_buses() -> None:
    assert text(bus_lines([], 0, 80)) == ["No buses: add a [bus.NAME] table."]


@pytest.mark.parametrize(
    ("load", "style"), [(0.9, "red"), (0.89, "yellow"), (0.7, "yellow"), (0.69, "cyan"), (0.0, "cyan")]
)
def test_load_has_a_colour(load: float, style: str) -> None:
    shown = styles(bus_lines([sample_bus(load=load)], 1185.0, 80))
    assert shown[f"{load:.0%}"] == style
