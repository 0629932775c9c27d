"""The buses' table for a window: what of it fits, in which colours. Pure.

A line is pieces of text, each with a style in words that rich knows, too (`bold red`): `terminal` writes
them at once, `watch` hands them to rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from cancorderd.cli import render
from cancorderd.control.protocol import GOOD_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cancorderd.cli.render import Table

Line: TypeAlias = "list[tuple[str, str]]"
"""Pieces of text, and the style of each ("" for none)."""

Bars: TypeAlias = Literal["", "blocks", "ascii"]
"""No bars, or those made of Unicode's block elements, or of what every terminal has."""

_EXPENDABLE = ("RESTARTS", "INTERFACE", "SINCE", "CLIENTS", "CHANNEL", "REC", "PORT", "LOAD", "FRAMES/S")
"""Columns that narrow windows do without, the first one first. BUS, STATE and LOST stay."""
_LEAST_CHANNEL = 12
"""Cells: the end of a longer channel, such as a serial number, still tells adapters apart."""
_BAR_WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"

_STATES = {
    "running": "green",
    "waiting": "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "backoff": "red",
    "failed": "red",
    "stopped": "dim",
    "disabled": "dim",
}


class Fitted(NamedTuple):
    """What a window has room for."""

    table: Table
    reasons_below: bool
    """True where the column WHY did not fit: its reasons are for lines below the table."""
    left_out: list[str]
    """Columns that did not fit."""


def of_buses(
    buses: list[dict[str, Any]],
    now: float,
    width: int,
    *,
    bars: Bars = "",
    grew: Collection[str] = (),
) -> list[Line]:
    """The buses for a window of `width` cells; `grew` names those that lost frames just now.

    `bars`: with what the load is drawn where there is room for it.
    """
    if not buses:
        return [[(render.NO_BUSES, "")]]
    cells = render.status_cells(buses, now)
    fit = fitted(_with_bars(cells, buses, bars) if bars else cells, width)
    if fit.left_out and bars:
        fit = fitted(cells, width)
    styles = [
        [
            _style(name, cell, bus, bus["name"] in grew)
            for name, cell in zip(fit.table.header, row, strict=True)
        ]
        for row, bus in zip(fit.table.rows, buses, strict=True)
    ]
    lines = table(fit.table, styles)
    if fit.reasons_below and any(row[-1] for row in cells.rows):
        lines.append([])
        for row, bus in zip(cells.rows, buses, strict=True):
            if row[-1]:
                lines.append([(f"{row[0]}: {render.printable(row[-1])}", _why_style(bus))])
    if fit.left_out:
        lines.append([(f"A wider window also shows {', '.join(fit.left_out)}.", "dim")])
    return lines


def table(cells: Table, styles: Sequence[Sequence[str]] | None = None) -> list[Line]:
    """Aligned columns under a bold header, with a style for each cell."""
    header, *rows = render.aligned(*cells)
    looks = styles or [[""] * len(header)] * len(rows)
    lines = [[(cell, "bold") for cell in header]]
    lines += [list(zip(row, look, strict=True)) for row, look in zip(rows, looks, strict=True)]
    return [_spaced(line) for line in lines]


def _spaced(line: Line) -> Line:
    spaced: Line = []
    for text, style in line:
        blanks = len(text) - len(text.rstrip())
        spaced += [(text.rstrip(), style), (" " * blanks + render.GAP, "")]
    return spaced[:-1]


def fitted(cells: Table, width: int) -> Fitted:
    """What fits `width` cells: first the reasons go below the table, then channels get short, then columns go."""
    if _width(cells) <= width:
        return Fitted(cells, False, [])
    cells = render.without(cells, {"WHY"})
    cells = _short_channels(cells, _width(cells) - width)
    left_out: list[str] = []
    for name in _EXPENDABLE:
        if _width(cells) <= width:
            break
        if name in cells.header:
            cells = render.without(cells, {name})
            left_out.append(name)
    return Fitted(cells, True, left_out)


def _short_channels(cells: Table, excess: int) -> Table:
    """Channels `excess` cells shorter, if that can be: their ends tell adapters apart."""
    at = cells.header.index("CHANNEL")
    room = max(_LEAST_CHANNEL, max(len(row[at]) for row in cells.rows) - max(0, excess))
    return cells._replace(rows=[(*row[:at], _end(row[at], room), *row[at + 1 :]) for row in cells.rows])


def _end(text: str, room: int) -> str:
    return text if len(text) <= room else f"...{text[3 - room :]}"


def _width(cells: Table) -> int:
    return max(map(len, render.columns(*cells)))


def _with_bars(cells: Table, buses: list[dict[str, Any]], bars: Bars) -> Table:
    at = cells.header.index("LOAD")
    rows = [
        (*row[:at], f"{bar(bus['load'], bars)} {row[at]:>4}", *row[at + 1 :])
        for row, bus in zip(cells.rows, buses, strict=True)
    ]
    return cells._replace(rows=rows)


def bar(share: float, bars: Bars = "blocks", width: int = _BAR_WIDTH) -> str:
    """A bar of `width` cells, filled by `share` (0 to 1) of it."""
    share = min(1.0, max(0.0, share))
    if bars == "ascii":
        return f"{'#' * round(share * width):{width}}"
    eighths = round(share * width * 8)
    text = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f"{text:{width}}"


def _style(column: str, cell: str, bus: dict[str, Any], grew: bool) -> str:
    if column == "STATE":
        return _STATES.get(cell, "")
    if column == "LOST":
        return "" if cell == "0" else "bold white on red" if grew else "bold red"
    if column == "LOAD":
        return "red" if bus["load"] >= 0.9 else "yellow" if bus["load"] >= 0.7 else "cyan"
    if column == "REC":
        return "bold red" if render.recording_troubled(bus) else ""
    if column == "WHY":
        return _why_style(bus)
    return "bold" if column == "BUS" else ""


def _why_style(bus: dict[str, Any]) -> str:
    """For a reason: pale where it is past."""
    if bus["state"] not in GOOD_STATES:
        return _STATES[bus["state"]]
    past = (
        not bus["reason"]
        and not render.recording_troubled(bus)
        and bus["controller"] in (None, "error-active")
    )
    return "dim" if past else "yellow"


def in_trouble_first(buses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For windows that cannot hold them all: buses that should run and do not come first."""
    return sorted(buses, key=lambda bus: bus["state"] in GOOD_STATES)
