"""The rows of `cancorderctl detect`: each adapter and its bus, as text, as JSON and as a table [bus.NAME]. Pure."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import tomli_w

from cancorderd.cli.ctl.text_table import Table, text_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cancorderd.adapters.scan import FoundAdapter

HEADER = ("BUS", "INTERFACE", "CHANNEL", "STATE", "ADAPTER")
NOTHING = """\
No CAN adapter was found. What to check:
  lsusb                      is the adapter listed at all? Try another cable or socket
  dmesg | tail               does the kernel report it when it is plugged in?
  modprobe gs_usb, peak_usb  loads the kernel's driver of a USB adapter, which makes it can0; modprobe vcan for trials
  ip link show type can      CAN interfaces, also those that are down
  id                         are you in the group that may open the adapter (dialout, plugdev)? Try sudo
  cancorderctl detect --probe /dev/ttyUSB0   a serial adapter behind a plain serial port"""


_HINT = "# For /etc/cancorder.toml (or --write NAME). Without bitrate, that of [defaults] applies, or 500000."


class Row(NamedTuple):
    """An adapter, and the bus that it is or could be."""

    found: FoundAdapter
    bus: str | None
    """Name of its bus; None if it cannot be a bus as it is now."""
    configured: bool = False
    """The configuration has this bus already."""

    @property
    def new(self) -> bool:
        return self.bus is not None and not self.configured


def rows_of(
    found: Sequence[FoundAdapter],
    configured: Sequence[str | None] = (),
    taken: Collection[str] = (),
    only_name: str | None = None,
) -> list[Row]:
    """Return each adapter with the name of its bus, which is valid, unique, and not in `taken`.

    `configured` holds, for each adapter, the bus that it is already, or None. If there is exactly one new bus, it is
    named `only_name`.
    """
    known = [*configured, *[None] * (len(found) - len(configured))]
    ready = [
        adapter for adapter, bus in zip(found, known, strict=True) if bus is None and adapter.keys is not None
    ]
    names = {*taken, *(bus for bus in known if bus is not None)}
    rows = []
    for adapter, bus in zip(found, known, strict=True):
        if bus is not None:
            rows.append(Row(adapter, bus, configured=True))
        elif adapter.keys is None:
            rows.append(Row(adapter, None))
        else:
            wish = only_name if len(ready) == 1 and only_name not in names else None
            rows.append(Row(adapter, wish or _free_name(adapter, names)))
            names.add(str(rows[-1].bus))
    return rows


def _free_name(adapter: FoundAdapter, names: Collection[str]) -> str:
    """Return `can0` for the interface can0; otherwise the kind of adapter and a number."""
    is_link = adapter.interface == "socketcan"
    stem = (
        re.sub(r"[^A-Za-z0-9_-]+", "-", adapter.channel if is_link else adapter.interface).strip("-_")[:28]
        or "bus"
    )
    if is_link and stem not in names:
        return stem
    joint = "-" if stem[-1].isdigit() else ""
    return next(name for n in count() if (name := f"{stem}{joint}{n}") not in names)


def report(rows: Sequence[Row]) -> str:
    """Return the table of adapters, remedies for those that are not ready, and the new buses as TOML."""
    if not rows:
        return ""
    lines = text_lines(Table(HEADER, [cells(row) for row in rows]))
    if remedies := [f"{row.found.channel}: {row.found.remedy}" for row in rows if row.found.remedy]:
        lines += ["", *remedies]
    if tables := toml(rows):
        lines += ["", _HINT, "", tables.rstrip()]
    return "\n".join(lines) + "\n"


def toml(rows: Sequence[Row]) -> str:
    """Return the tables [bus.NAME] of the adapters that are no buses yet; empty if there are none."""
    tables = {row.bus: row.found.table for row in rows if row.new}
    return tomli_w.dumps({"bus": tables}) if tables else ""


def cells(row: Row) -> tuple[str, ...]:
    """Return the row's cells in the columns of `HEADER`."""
    adapter = row.found
    state = f"{adapter.state}, configured" if row.configured else adapter.state
    return (row.bus or "-", adapter.interface, adapter.channel, state, adapter.adapter)


def as_json(row: Row) -> dict[str, Any]:
    """Return the row as `detect --json` prints it."""
    adapter = row.found
    return {
        "bus": row.bus,
        "configured": row.configured,
        "interface": adapter.interface,
        "channel": adapter.channel,
        "state": adapter.state,
        "adapter": adapter.adapter,
        "remedy": adapter.remedy,
        "table": None if adapter.keys is None else adapter.table,
    }
