"""The page that `cancorderctl status --watch` shows, as lines. Pure: `window` puts it on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.cli import layout, render

if TYPE_CHECKING:
    from collections.abc import Collection

    from cancorderd.cli.layout import Bars, Line

_ABOVE = 4
"""Lines that are no buses: two heads, a blank one, the table's header."""


class Known(NamedTuple):
    """What the last questions brought."""

    status: dict[str, Any] | None = None
    """The last answer, or None before the first."""
    at: float = 0.0
    """When it came, in seconds since the epoch."""
    grew: Collection[str] = ()
    """Buses that lost frames between the last two answers."""
    problem: str = ""
    """Why the last question had no answer."""


def page(known: Known, now: float, clock: str, size: tuple[int, int], bars: Bars = "blocks") -> list[Line]:
    """Lines for a window of this width and height; longer ones are for the window to wrap, further ones to cut.

    `now` is in seconds since the epoch, `clock` how people here write it.
    """
    width, height = size
    status = known.status
    heads = [(render.status_head(status) if status else "cancorderd", "bold")]
    buses = status["buses"] if status else []
    room = max(1, height - _ABOVE)
    more = f"{room} of {len(buses)} buses, a higher window shows more; " if len(buses) > room else ""
    if known.problem:
        heads.append((_problem(known, now), "bold white on red"))
    heads.append((f"{clock}  {more}{_totals(buses)}; q ends", ""))
    lines: list[Line] = [[(text[:width], style)] for text, style in heads]
    if not status:
        return lines
    if more:
        buses = layout.in_trouble_first(buses)[:room]
    table = layout.of_buses(buses, known.at, width, bars=bars, grew=known.grew)
    if known.problem:  # what was, not what is
        table = [[("".join(text for text, _ in line), "dim")] if line else [] for line in table]
    return [*lines, [], *table]


def _problem(known: Known, now: float) -> str:
    ago = f"; the answer below is {render.duration(now - known.at)} old" if known.status else ""
    return f"{known.problem}{ago}"


def _totals(buses: list[dict[str, Any]]) -> str:
    rate = sum(bus["frames"]["per_second"] for bus in buses)
    clients = sum(len(bus["clients"]) for bus in buses)
    lost = sum(lost_by(bus) for bus in buses)
    return f"{rate:.0f} frames/s, {clients} client{'' if clients == 1 else 's'}, {lost} lost"


def lost_by(bus: dict[str, Any]) -> int:
    """Frames that this bus lost, wherever."""
    return sum(bus["lost"].values())


def answered(known: Known, status: dict[str, Any], now: float) -> Known:
    """What is known after an answer."""
    before = {bus["name"]: lost_by(bus) for bus in (known.status or {"buses": []})["buses"]}
    grew = {bus["name"] for bus in status["buses"] if lost_by(bus) > before.get(bus["name"], lost_by(bus))}
    return Known(status, now, grew)
