"""What of the buses' table a window gets."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cancorderd.cli import layout, render
from tests.cli.test_render import BUS

LONG = "/dev/serial/by-id/usb-Openlight_Labs_CANable2_2070359B5730-if00"


def bus(name: str = "body", **keys: Any) -> dict[str, Any]:
    return copy.deepcopy(BUS) | {"name": name, "last_error": ""} | keys


def text(lines: list[layout.Line]) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in lines]


def styles(lines: list[layout.Line]) -> dict[str, str]:
    """The style of each piece of text."""
    return {piece.strip(): style for line in lines for piece, style in line if piece.strip()}


def test_a_wide_window_gets_the_plain_table() -> None:
    buses = [bus(reason="because", state="failed"), bus("x")]
    plain = render.columns(*render.status_cells(buses, 1185.0))
    assert [line.rstrip() for line in text(layout.of_buses(buses, 1185.0, 200))] == plain


@pytest.mark.parametrize("width", range(28, 160, 3))
def test_columns_fit_the_window(width: int) -> None:
    buses = [bus(channel=LONG, state="failed", reason="no such thing. Do this, and that."), bus("x")]
    for bars in ("", "blocks"):
        lines = text(layout.of_buses(buses, 1185.0, width, bars=bars))
        table = lines[: len(buses) + 1]
        assert all(len(line) <= width for line in table)
        assert all(word in table[0] for word in ("BUS", "STATE", "LOST"))
        assert any("no such thing. Do this, and that." in line for line in lines)


def test_narrower_windows_lose_reasons_then_channels_then_columns() -> None:
    cells = render.status_cells([bus(channel=LONG, state="failed", reason="why")], 1185.0)
    full = len(render.columns(*cells)[1])
    assert layout.fitted(cells, full) == (cells, False, [])
    below = layout.fitted(cells, full - 1)
    assert (below.reasons_below, below.left_out) == (True, [])
    assert LONG in below.table.rows[0]
    short = layout.fitted(cells, full - 40)
    assert short.left_out == []
    assert short.table.rows[0][3].startswith("...")
    assert LONG.endswith(short.table.rows[0][3][3:])
    assert layout.fitted(cells, 80).left_out == ["RESTARTS", "INTERFACE"]


def test_what_a_narrow_window_leaves_out_is_told() -> None:
    lines = text(layout.of_buses([bus()], 1185.0, 60))
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
    lines = layout.of_buses([bus(state=state, reason="the reason")], 1185.0, 200)
    assert styles(lines)[state] == style
    assert styles(lines)["the reason"] == ("yellow" if state in ("running", "stopped", "disabled") else style)


def test_lost_frames_are_red_and_new_ones_more_so() -> None:
    lost = {"kernel": 4711, "adapter": 0, "clients": 0}
    none = {"kernel": 0, "adapter": 0, "clients": 0}
    assert styles(layout.of_buses([bus(lost=lost)], 1185.0, 200))["4711"] == "bold red"
    assert (
        styles(layout.of_buses([bus(lost=lost)], 1185.0, 200, grew={"body"}))["4711"] == "bold white on red"
    )
    clean = layout.of_buses([bus(lost=none, restarts=3)], 1185.0, 200)
    assert styles(clean)["0"] == ""


def test_past_errors_are_pale() -> None:
    assert styles(layout.of_buses([bus(last_error="gone")], 1185.0, 200))["was: gone"] == "dim"


def test_recordings_in_trouble_stand_out() -> None:
    recording = {"state": "recording", "reason": "", "file": "/x.log", "bytes": 10**6, "dropped": 0}
    fine = styles(layout.of_buses([bus(recording=recording)], 1185.0, 200))
    assert (fine["1.0 MB"], fine["records to /x.log"]) == ("", "dim")
    stopped = bus(recording=recording | {"state": "stopped", "reason": "the disk is full"})
    looks = styles(layout.of_buses([stopped], 1185.0, 200))
    assert (looks["stopped"], looks["recording stopped: the disk is full"]) == ("bold red", "yellow")


@pytest.mark.parametrize(
    ("share", "blocks", "signs"),
    [(0, "    ", "    "), (1, "████", "####"), (0.5, "██  ", "##  "), (0.53, "██▏ ", "##  "), (7, "████", "####"), (-1, "    ", "    ")],
)  # fmt: skip
def test_bars(share: float, blocks: str, signs: str) -> None:
    assert layout.bar(share, width=4) == blocks
    assert layout.bar(share, "ascii", 4) == signs


def test_bars_are_shown_where_there_is_room() -> None:
    assert "██" in text(layout.of_buses([bus()], 1185.0, 120, bars="blocks"))[1]
    assert "##" in text(layout.of_buses([bus()], 1185.0, 120, bars="ascii"))[1]
    assert "█" not in text(layout.of_buses([bus()], 1185.0, 60, bars="blocks"))[1]


def test_buses_in_trouble_come_first() -> None:
    buses = [bus("a"), bus("b", state="failed"), bus("c", state="stopped"), bus("d", state="waiting")]
    assert [one["name"] for one in layout.in_trouble_first(buses)] == ["b", "d", "a", "c"]


def test_no_buses() -> None:
    assert text(layout.of_buses([], 0, 80)) == ["No buses: add a [bus.NAME] table."]
