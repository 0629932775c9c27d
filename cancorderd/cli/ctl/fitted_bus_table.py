"""The table of buses for a window: the columns that fit, in colours. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from cancorderd.cli.ctl import bus_table
from cancorderd.cli.ctl.text_table import styled_lines, text_lines
from cancorderd.control.protocol import GOOD_STATES, all_is_well, recording_impaired

if TYPE_CHECKING:
    from collections.abc import Collection

    from cancorderd.cli.ctl.text_table import Line, Table
    from cancorderd.control.protocol import BusStatus

Bars: TypeAlias = Literal["", "blocks", "ascii"]
"""Bars for the load: none, of Unicode's block elements, or of characters that every terminal has."""

_EXPENDABLE = ("RESTARTS", "INTERFACE", "SINCE", "CLIENTS", "CHANNEL", "REC", "PORT", "LOAD", "FRAMES/S")
"""Columns that narrow windows omit, in this order. BUS, STATE and LOST stay."""
_MIN_CHANNEL_WIDTH = 12
"""The end of a longer channel, such as a serial number, still distinguishes adapters in so many cells."""
_BAR_WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"

_STATE_STYLES = {
    "running": "green",
    "waiting": "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "backoff": "red",
    "failed": "red",
    "stopped": "dim",
    "disabled": "dim",
}


class Fit(NamedTuple):
    """A table that fits a window."""

    table: Table
    reasons_below: bool
    """Whether the column WHY did not fit, so that its reasons belong below the table."""
    omitted: list[str]
    """Other columns that did not fit."""


def bus_lines(
    buses: list[BusStatus],
    now: float,
    width: int,
    *,
    bars: Bars = "",
    losing: Collection[str] = (),
    selected: str = "",
) -> list[Line]:
    """Return the table for a window of `width` cells, with the reasons below it if they do not fit.

    `losing` names the buses that have just lost frames, `selected` the bus to highlight; `bars` are drawn if there is
    room.
    """
    if not buses:
        return [[(bus_table.NO_BUSES, "")]]
    table = bus_table.bus_table(buses, now)
    fitted = fit(_with_bars(table, buses, bars) if bars else table, width)
    if fitted.omitted and bars:
        fitted = fit(table, width)
    styles = [
        [
            "bold reverse"
            if column == "BUS" and cell == selected
            else _style(column, cell, bus, losing=bus["name"] in losing)
            for column, cell in zip(fitted.table.header, row, strict=True)
        ]
        for row, bus in zip(fitted.table.rows, buses, strict=True)
    ]
    lines = styled_lines(fitted.table, styles)
    reasons = {bus["name"]: bus_table.reason(bus) for bus in buses}
    if fitted.reasons_below and any(reasons.values()):
        lines.append([])
        lines += [
            [(f"{bus['name']}: {reasons[bus['name']]}", _reason_style(bus))]
            for bus in buses
            if reasons[bus["name"]]
        ]
    if fitted.omitted:
        lines.append([(f"A wider window also shows {', '.join(fitted.omitted)}.", "dim")])
    return lines


def fit(table: Table, width: int) -> Fit:
    """Fit the table into `width` cells: first WHY is removed, then channels are shortened, then columns omitted."""
    if _width(table) <= width:
        return Fit(table, reasons_below=False, omitted=[])
    table = table.without({"WHY"})
    table = _with_short_channels(table, _width(table) - width)
    omitted: list[str] = []
    for column in _EXPENDABLE:
        if _width(table) <= width:
            break
        if column in table.header:
            table = table.without({column})
            omitted.append(column)
    return Fit(table, reasons_below=True, omitted=omitted)


def bar(share: float, bars: Bars = "blocks", width: int = _BAR_WIDTH) -> str:
    """Return a bar of `width` cells, of which `share` (0 to 1) is filled."""
    share = min(1.0, max(0.0, share))
    if bars == "ascii":
        return f"{'#' * round(share * width):{width}}"
    eighths = round(share * width * 8)
    text = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f"{text:{width}}"


def failing_first(buses: list[BusStatus]) -> list[BusStatus]:
    """Return the buses, those with a failure or without their recording first, for windows without room for all."""
    return sorted(buses, key=all_is_well)


def _with_short_channels(table: Table, excess: int) -> Table:
    """Shorten channels by `excess` cells, if possible. Their ends are kept, which distinguish adapters."""
    at = table.header.index("CHANNEL")
    room = max(_MIN_CHANNEL_WIDTH, max(len(row[at]) for row in table.rows) - max(0, excess))
    return table._replace(rows=[(*row[:at], _end(row[at], room), *row[at + 1 :]) for row in table.rows])


def _end(text: str, room: int) -> str:
    return text if len(text) <= room else f"...{text[3 - room :]}"


def _width(table: Table) -> int:
    return max(map(len, text_lines(table)))


def _with_bars(table: Table, buses: list[BusStatus], bars: Bars) -> Table:
    at = table.header.index("LOAD")
    rows = [
        (*row[:at], f"{bar(bus['load'], bars)} {row[at]:>4}", *row[at + 1 :])
        for row, bus in zip(table.rows, buses, strict=True)
    ]
    return table._replace(rows=rows)


def _style(column: str, cell: str, bus: BusStatus, *, losing: bool) -> str:
    match column:
        case "BUS":
            return "bold"
        case "STATE":
            return _STATE_STYLES.get(cell, "")
        case "LOST":
            return "" if cell == "0" else "bold white on red" if losing else "bold red"
        case "LOAD":
            return "red" if bus["load"] >= 0.9 else "yellow" if bus["load"] >= 0.7 else "cyan"
        case "REC":
            return "bold red" if recording_impaired(bus) else ""
        case "WHY":
            return _reason_style(bus)
        case _:
            return ""


def _reason_style(bus: BusStatus) -> str:
    """Return the style of a reason: dim if it is a thing of the past."""
    if bus["state"] not in GOOD_STATES:
        return _STATE_STYLES[bus["state"]]
    past = not bus["reason"] and not recording_impaired(bus) and bus["controller"] in (None, "error-active")
    return "dim" if past else "yellow"
