"""The table of buses that `cancorderctl status` prints. Pure.

The column WHY is worded here: `reason` chooses between the bus's state, its recording and its last error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.cli.ctl.forward_lines import forward_lines
from cancorderd.cli.ctl.quantities import duration, size
from cancorderd.cli.ctl.text_table import Table, text_lines
from cancorderd.control.protocol import impaired_recordings, recording_impaired
from cancorderd.protocol.addresses import missing_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.control.protocol import BusStatus, RecordingStatus, StatusAnswer

NO_BUSES = "No buses: add a [bus.NAME] table."
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


def status_text(status: StatusAnswer, now: float) -> str:
    """Return the heading and the table; `now` is in seconds since the epoch."""
    buses = status["buses"]
    if not buses:
        return f"{heading(status)}\n{NO_BUSES}"
    forward = forward_lines(status)
    further = ["", *forward] if forward else []
    return "\n".join([heading(status), "", *text_lines(bus_table(buses, now)), *further])


def heading(status: StatusAnswer) -> str:
    """Return the line above the table."""
    running = sum(bus["state"] == "running" for bus in status["buses"])
    impaired = impaired_recordings(status["buses"])
    return (
        f"cancorderd {status['version']}, process {status['pid']}, up {duration(status['uptime_s'])}, "
        f"{status['config'] or 'demo'}: {running} of {len(status['buses'])} buses running"
        f"{', ' if impaired else ''}{impaired}{_page(status)}"
    )


def _page(status: StatusAnswer) -> str:
    """Return the address of the page for browsers, or why there is none."""
    page = status.get("web")
    if not page:
        return ""
    return f"; page: {page['reason'] or page['address']}"


def bus_table(buses: list[BusStatus], now: float) -> Table:
    """Return a row for each bus; the column REC is present if any bus records."""
    table = Table(_HEADER, [_row(bus, now) for bus in buses])
    return table if any(bus.get("recording") for bus in buses) else table.without({"REC"})


def frames_lost(bus: BusStatus) -> int:
    """Return the number of frames that this bus lost, in all places together."""
    lost = bus["lost"]
    return lost["kernel"] + lost["adapter"] + lost["clients"] + lost.get("unknown", 0)


def lost_text(buses: Sequence[BusStatus]) -> str:
    """Return the number of frames that these buses lost; "up to N" if a part of it is an estimate."""
    unknown = any(bus["lost"].get("unknown") for bus in buses)
    return f"{'up to ' if unknown else ''}{sum(map(frames_lost, buses))}"


def reason(bus: BusStatus) -> str:
    """Return the text of the column WHY."""
    recording = bus.get("recording")
    if bus["state"] == "running" and bus["controller"] not in (None, "error-active"):
        return f"controller is {bus['controller']}"
    if bus["reason"]:
        return bus["reason"]
    if recording and recording_impaired(bus):
        return f"recording {recording['state']}: {recording['reason']}"
    if bus.get("listen_missing"):
        return missing_text(bus["listen_missing"])
    destination = _destination(recording) if recording and bus["state"] == "running" else ""
    if bus["state"] == "running" and (idle := bus["details"].get("idle")):
        return f"{idle}; {destination}" if destination else idle
    if bus["last_error"]:
        return f"was: {bus['last_error']}"
    return destination


def _row(bus: BusStatus, now: float) -> tuple[str, ...]:
    return (
        bus["name"],
        bus["state"],
        bus["interface"],
        _adapter(bus),
        "-" if bus["port"] is None else str(bus["port"]),
        f"{bus['frames']['per_second']:.0f}",
        f"{bus['load'] * 100:.0f}%",
        str(len(bus["clients"])),
        lost_text([bus]),
        str(bus["restarts"]),
        duration(now - bus["since"]),
        _recorded(bus),
        reason(bus),
    )


def _destination(recording: RecordingStatus) -> str:
    """Return the file of a recording and the number of frames that are missing in it."""
    if recording["file"] is None:
        return "records from the first frame on"
    missing = f", {recording['dropped']} frames missing" if recording["dropped"] else ""
    return f"records to {recording['file']}{missing}"


def _recorded(bus: BusStatus) -> str:
    """Return the size of the recording, its state if it is impaired, or `-` if the bus is not recorded now."""
    recording = bus.get("recording")
    if not recording or bus["state"] != "running":
        return "-"
    return recording["state"] if recording["reason"] else size(recording["bytes"])


def _adapter(bus: BusStatus) -> str:
    """Return the best name of the adapter.

    It is the serial number if that selects it, else the channel, else the adapter that an automatic search found.
    """
    for name in (bus.get("serial"), bus["channel"], bus.get("details", {}).get("found")):
        if name is not None:
            return str(name)
    return "-"
