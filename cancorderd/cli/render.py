"""What the commands print, from what the daemon answers. Pure: text in columns, no terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from cancorderd.control.protocol import GOOD_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    "WHY",
)
_RIGHT = {
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
}


def status_table(status: dict[str, Any], now: float) -> str:
    """The table of `cancorderctl status`; `now` is in seconds since the epoch."""
    rows = [_row(bus, now) for bus in status["buses"]]
    running = sum(bus["state"] == "running" for bus in status["buses"])
    head = (
        f"cancorderd {status['version']}, process {status['pid']}, up {duration(status['uptime_s'])}, "
        f"{status['config'] or 'demo'}: {running} of {len(rows)} buses running"
    )
    return (
        "\n".join([head, "", *columns(_HEADER, rows)])
        if rows
        else f"{head}\nNo buses: add a [bus.NAME] table."
    )


_CLIENT_HEADER = ("BUS", "CLIENT", "CONNECTED", "SENT", "DROPPED", "BACKLOG")


def clients_table(buses: list[dict[str, Any]]) -> str:
    """The table of `cancorderctl clients`; sent and dropped are frames, the backlog is in bytes."""
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
    return "\n".join(columns(_CLIENT_HEADER, rows)) if rows else "No clients."


def event_line(event: dict[str, Any]) -> str:
    """One line of `cancorderctl events`, with the time of day here."""
    when = datetime.fromtimestamp(event["time"]).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S} {event['level']:7} {event['bus']}: {event['text']}"


def _row(bus: dict[str, Any], now: float) -> tuple[str, ...]:
    was = f"was: {bus['last_error']}" if bus["last_error"] else ""
    recording = recording_text(bus)
    why = bus["reason"] or (recording if recording_troubled(bus) else was or recording)
    if bus["state"] == "running" and bus["controller"] not in (None, "error-active"):
        why = f"controller is {bus['controller']}"
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
        why,
    )


def recording_troubled(bus: dict[str, Any]) -> bool:
    """True where a bus that runs is not recorded as it should be."""
    return bus["state"] == "running" and bool(bus.get("recording") and bus["recording"]["reason"])


def recording_text(bus: dict[str, Any]) -> str:
    """How the bus's recording goes, in a few words; empty where it is not recorded, or not running anyway."""
    recording = bus.get("recording")
    if not recording or bus["state"] != "running":
        return ""
    if recording["reason"]:
        return f"recording {recording['state']}: {recording['reason']}"
    if recording["file"] is None:
        return "records from the first frame on"
    lost = f", {recording['dropped']} frames missing" if recording["dropped"] else ""
    return f"records to {recording['file']} ({recording['bytes'] / 1e6:.1f} MB{lost})"


def _adapter(bus: dict[str, Any]) -> str:
    """What names the adapter best: its serial number where it is chosen by that, what a bus that searches has found."""
    for name in (bus.get("serial"), bus["channel"], bus.get("details", {}).get("found")):
        if name is not None:
            return str(name)
    return "-"


def columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with aligned columns: numbers to the right, the rest to the left."""
    table = [header, *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


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
