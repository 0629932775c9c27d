"""The page of `cancorderctl status --watch`, as lines. Pure: `window` puts it on the screen."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.cli.ctl import bus_table, fitted_bus_table
from cancorderd.cli.ctl.forward_lines import forward_lines, forward_style
from cancorderd.cli.ctl.quantities import duration
from cancorderd.cli.ctl.watch_view import HELP, View

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cancorderd.cli.ctl.fitted_bus_table import Bars
    from cancorderd.cli.ctl.text_table import Line
    from cancorderd.control.protocol import BusStatus, StatusAnswer

_LINES_WITHOUT_BUSES = 4
"""Two headings, a blank line, the table's header."""
_LOW = 9
"""Windows with fewer lines have no blank lines, and one heading."""


class Snapshot(NamedTuple):
    """The last answer of the daemon, and whether it still answers."""

    status: StatusAnswer | None = None
    """The last answer, or None before the first."""
    at: float = 0.0
    """Time of the answer, in seconds since the epoch."""
    losing: Collection[str] = ()
    """Buses that lost frames between the last two answers."""
    problem: str = ""
    """Why the last request had no answer."""

    def updated(self, status: StatusAnswer, now: float) -> Snapshot:
        """Return the snapshot after another answer."""
        buses = self.status["buses"] if self.status else []
        before = {bus["name"]: bus_table.frames_lost(bus) for bus in buses}
        lost = {bus["name"]: bus_table.frames_lost(bus) for bus in status["buses"]}
        return Snapshot(
            status, now, {name for name, count in lost.items() if count > before.get(name, count)}
        )

    def arranged(self, height: int, view: View) -> list[BusStatus]:
        """Return the buses in the order of a page of this height: if not all fit, those with a failure come first."""
        buses = self.status["buses"] if self.status else []
        if view.order or len(buses) <= height - _LINES_WITHOUT_BUSES:
            return view.ordered(buses)
        return fitted_bus_table.failing_first(buses)


class _Part(NamedTuple):
    """The buses that fit, as lines."""

    first: int
    buses: int
    lines: list[Line]


def page(
    snapshot: Snapshot,
    now: float,
    clock: str,
    size: tuple[int, int],
    *,
    view: View = View(),  # noqa: B008 - never changed
    bars: Bars = "blocks",
) -> list[Line]:
    """Return the lines for a window of this width and height; none is longer.

    `now` is in seconds since the epoch, `clock` the same time for the reader.
    """
    width, height = size
    low = height < _LOW
    status = snapshot.status
    buses = snapshot.arranged(height, view)
    urgent = _urgent(snapshot, now, view)
    scroll = ""
    if view.help:
        body = wrapped([[(line, "")] for line in HELP], width)
    elif status:
        above = (1 if low else 3) + bool(urgent)  # headings, and a blank line
        body, scroll = _table(snapshot, buses, view, (width, height - above), low=low, bars=bars)
    else:
        body = []
    headings = [(bus_table.heading(status) if status else "cancorderd", "bold"), *urgent]
    if not low or not status:
        order = f"by {view.order}; " if view.order else ""
        headings.append((f"{clock}  {scroll}{order}{_totals(buses)}; q quits, ? help", ""))
    lines: list[Line] = [[(_shortened(text, width), style)] for text, style in headings]
    return [*lines, *([] if low or not body else [[]]), *body]


def _table(
    snapshot: Snapshot, buses: list[BusStatus], view: View, size: tuple[int, int], *, low: bool, bars: Bars
) -> tuple[list[Line], str]:
    """Return the table of the buses that fit, and which they are if there are more."""
    width, room = size

    def lines_of(part: list[BusStatus]) -> list[Line]:
        table = fitted_bus_table.bus_lines(
            part, snapshot.at, width, bars=bars, losing=snapshot.losing, selected=view.selected
        )
        lines = wrapped(table, width)
        return [line for line in lines if line] if low else lines

    names = [bus["name"] for bus in buses]
    selected = names.index(view.selected) if view.selected in names else 0
    part = _part(buses, selected, room, lines_of)
    scroll = ""
    if part.buses < len(buses):
        scroll = f"buses {part.first + 1} to {part.first + part.buses} of {len(buses)}, j and k scroll; "
    lines = part.lines[:room]
    return (_dimmed(lines) if snapshot.problem else lines), scroll


def _dimmed(lines: list[Line]) -> list[Line]:
    """Return a table that is out of date, without its colours."""
    return [[("".join(text for text, _ in line), "dim")] if line else [] for line in lines]


def wrapped(lines: list[Line], width: int) -> list[Line]:
    """Wrap sentences, which are lines of one piece, between words; rows of a table stay as they are."""
    found: list[Line] = []
    for line in lines:
        if len(line) == 1 and len(line[0][0]) > width:
            text, style = line[0]
            found += [[(part, style)] for part in textwrap.wrap(text, width, break_on_hyphens=False)]
        else:
            found.append(line)
    return found


def _part(
    buses: list[BusStatus], selected: int, room: int, lines_of: Callable[[list[BusStatus]], list[Line]]
) -> _Part:
    """Return as many buses as fit into `room` lines, the selected one (by its place) among them, at least that one."""
    for count in range(min(len(buses), room), 1, -1):
        first = max(0, selected - count + 1)
        lines = lines_of(buses[first : first + count])
        if len(lines) <= room:
            return _Part(first, count, lines)
    return _Part(selected, min(1, len(buses)), lines_of(buses[selected : selected + 1]))


def _urgent(snapshot: Snapshot, now: float, view: View) -> list[tuple[str, str]]:
    """Return the headings that stand only while there is a reason."""
    found = [(_problem(snapshot, now), "bold white on red")] if snapshot.problem else []
    if view.asking:
        found.append((f"Restart {view.selected}? y restarts it, any other key does not", "bold yellow"))
    elif view.note:
        found.append((view.note, "bold"))
    if snapshot.status and not found:
        found = [(text, forward_style(snapshot.status)) for text in forward_lines(snapshot.status)[:1]]
    return found


def _shortened(text: str, width: int) -> str:
    """Return the words of `text` that fit."""
    return text if len(text) <= width else textwrap.shorten(text, width, placeholder=" ...")[:width]


def _problem(snapshot: Snapshot, now: float) -> str:
    age = f"; the answer below is {duration(now - snapshot.at)} old" if snapshot.status else ""
    return f"{snapshot.problem}{age}"


def _totals(buses: list[BusStatus]) -> str:
    rate = sum(bus["frames"]["per_second"] for bus in buses)
    clients = sum(len(bus["clients"]) for bus in buses)
    return f"{rate:.0f} frames/s, {clients} client{'' if clients == 1 else 's'}, {bus_table.lost_text(buses)} lost"
