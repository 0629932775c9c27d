"""What the commands print, from what the daemon answers. Pure: text in columns, no terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.control.protocol import GOOD_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_HEADER = (
    "BUS",
    "STATE",
    "INTERFACE",
    "CHANNEL",
    "PORT",
    "FRAMES/S",
    "LOAD",
    "CLIENTS",
    "LOST",
    "RESTARTS",
    "SINCE",
    "REC",
    "WHY",
)
RIGHT = {
    "PORT",
    "FRAMES/S",
    "LOAD",
    "CLIENTS",
    "LOST",
    "RESTARTS",
    "SINCE",
    "CONNECTED",
    "SENT",
    "DROPPED",
    "BACKLOG",
    "REC",
    "BITRATE",
}
"""Columns that stand to the right: numbers."""


class Table(NamedTuple):
    """Cells, before they are aligned."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def status_table(status: dict[str, Any], now: float) -> str:
    """The table of `cancorderctl status`; `now` is in seconds since the epoch."""
    head = status_head(status)
    buses = status["buses"]
    return "\n".join([head, "", *columns(*status_cells(buses, now))]) if buses else f"{head}\n{NO_BUSES}"


NO_BUSES = "No buses: add a [bus.NAME] table."


def status_head(status: dict[str, Any]) -> str:
    """The line above the table."""
    running = sum(bus["state"] == "running" for bus in status["buses"])
    return (
        f"cancorderd {status['version']}, process {status['pid']}, up {duration(status['uptime_s'])}, "
        f"{status['config'] or 'demo'}: {running} of {len(status['buses'])} buses running"
    )


def status_cells(buses: list[dict[str, Any]], now: float) -> Table:
    """A row for each bus; REC is there where a bus records."""
    table = Table(_HEADER, [_row(bus, now) for bus in buses])
    return table if any(bus.get("recording") for bus in buses) else without(table, {"REC"})


def without(table: Table, names: Collection[str]) -> Table:
    """The table without these columns."""
    kept = [index for index, name in enumerate(table.header) if name not in names]
    rows = [tuple(row[index] for index in kept) for row in table.rows]
    return Table(tuple(table.header[index] for index in kept), rows)


_CLIENT_HEADER = ("BUS", "CLIENT", "CONNECTED", "SENT", "DROPPED", "BACKLOG")


def clients_table(buses: list[dict[str, Any]]) -> str:
    """The table of `cancorderctl clients`."""
    table = client_cells(buses)
    return "\n".join(columns(*table)) if table.rows else NO_CLIENTS


NO_CLIENTS = "No clients."


def client_cells(buses: list[dict[str, Any]]) -> Table:
    """A row for each client; sent and dropped are frames, the backlog is in bytes."""
    rows = [
        (
            bus["name"],
            client["address"],
            duration(client["connected_s"]),
            str(client["frames_sent"]),
            str(client["frames_dropped"]),
            str(client["backlog_bytes"]),
        )
        for bus in buses
        for client in bus["clients"]
    ]
    return Table(_CLIENT_HEADER, rows)


def event_line(event: dict[str, Any]) -> str:
    """One line of `cancorderctl events`, with the time of day here."""
    when = datetime.fromtimestamp(event["time"]).astimezone()
    text = "\n".join(map(printable, event["text"].split("\n")))
    return f"{when:%Y-%m-%d %H:%M:%S} {event['level']:7} {event['bus']}: {text}"


def _row(bus: dict[str, Any], now: float) -> tuple[str, ...]:
    return (
        bus["name"],
        bus["state"],
        bus["interface"],
        _adapter(bus),
        "-" if bus["port"] is None else str(bus["port"]),
        f"{bus['frames']['per_second']:.0f}",
        f"{bus['load'] * 100:.0f}%",
        str(len(bus["clients"])),
        str(sum(bus["lost"].values())),
        str(bus["restarts"]),
        duration(now - bus["since"]),
        _recording(bus),
        _why(bus),
    )


def _why(bus: dict[str, Any]) -> str:
    recording = bus.get("recording")
    if bus["state"] == "running" and bus["controller"] not in (None, "error-active"):
        return f"controller is {bus['controller']}"
    if bus["reason"]:
        return str(bus["reason"])
    if recording and recording_troubled(bus):
        return f"recording {recording['state']}: {recording['reason']}"
    if bus["last_error"]:
        return f"was: {bus['last_error']}"
    return recording_text(recording) if recording and bus["state"] == "running" else ""


def recording_troubled(bus: dict[str, Any]) -> bool:
    """True where a bus that runs is not recorded as it should be."""
    return bus["state"] == "running" and bool(bus.get("recording") and bus["recording"]["reason"])


def recording_text(recording: dict[str, Any]) -> str:
    """Where the frames of a recording go, and how many did not."""
    if recording["file"] is None:
        return "records from the first frame on"
    lost = f", {recording['dropped']} frames missing" if recording["dropped"] else ""
    return f"records to {recording['file']}{lost}"


def _recording(bus: dict[str, Any]) -> str:
    """How much there is, or why nothing more comes; `-` for a bus that is not recorded now."""
    recording = bus.get("recording")
    if not recording or bus["state"] != "running":
        return "-"
    return str(recording["state"]) if recording["reason"] else size(recording["bytes"])


def size(count: int) -> str:
    """A number of bytes, in three digits: 812 B, 8.1 kB, 81 kB, 8.1 MB."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.1f} {units[0]}" if amount < 9.95 and units[0] != "B" else f"{amount:.0f} {units[0]}"


def _adapter(bus: dict[str, Any]) -> str:
    """What names the adapter best: its serial number where it is chosen by that, what a bus that searches has found."""
    for name in (bus.get("serial"), bus["channel"], bus.get("details", {}).get("found")):
        if name is not None:
            return str(name)
    return "-"


def columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with aligned columns: numbers to the right, the rest to the left."""
    return [GAP.join(cells).rstrip() for cells in aligned(header, rows)]


GAP = "  "
"""Between two columns."""


def aligned(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The cells of each line, header first, as wide as their columns."""
    table = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        [
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        for row in table
    ]


def printable(text: str) -> str:
    """`text` with nothing in it that a terminal would obey: names come from the network, too."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def duration(seconds: float) -> str:
    """A time span in its two largest units: 12s, 3m05s, 2h07m, 4d03h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def changes(answer: dict[str, Any], *, dry_run: bool) -> str:
    """What a reload did, or would do, bus by bus."""
    lines = []
    for change in answer["changes"]:
        keys = f" ({', '.join(change['keys'])})" if change["keys"] else ""
        lines.append(f"{change['bus']}: {change['kind']}{keys}")
    lines += answer["notes"]
    if dry_run:
        lines.append("Nothing was changed (--dry-run).")
    return "\n".join(lines) or "No buses."


def all_as_wanted(buses: list[dict[str, Any]]) -> bool:
    """False where a bus that should run does not."""
    return all(bus["state"] in GOOD_STATES for bus in buses)
