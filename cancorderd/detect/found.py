"""What was found: each adapter in words, as a row of a table and as a table [bus.NAME]. Pure."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import tomli_w

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

HEADER = ("BUS", "INTERFACE", "CHANNEL", "STATE", "ADAPTER")
NOTHING = """\
No CAN adapter was found. What to check:
  lsusb                      is the adapter there at all? Try another cable or socket
  dmesg | tail               what does the kernel say when it is plugged in?
  modprobe gs_usb, peak_usb  the kernel's driver of a USB adapter, which makes it can0; modprobe vcan for trials
  ip link show type can      CAN interfaces, also those that are down
  id                         are you in the group that may open the adapter (dialout, plugdev)? Try sudo
  cancorderctl detect --probe /dev/ttyUSB0   a serial adapter behind a plain serial port"""


class Found(NamedTuple):
    """One adapter, or one channel of it."""

    interface: str
    channel: str
    """How people name it; what its bus needs is in `keys`."""
    adapter: str
    state: str
    keys: Mapping[str, Any] | None
    """What its table [bus.NAME] holds beside `interface`; None where it cannot be a bus as it stands."""
    remedy: str = ""
    serial: str | None = None
    """By which a bus may name it in place of its channel."""

    @property
    def table(self) -> dict[str, Any]:
        return {"interface": self.interface, **(self.keys or {})}


class Row(NamedTuple):
    """An adapter and the bus that it is or could be."""

    found: Found
    bus: str | None
    """Name of its bus; None where it cannot be one as it stands."""
    configured: bool = False
    """The configuration has this bus already."""

    @property
    def new(self) -> bool:
        return self.bus is not None and not self.configured


def listing(
    found: Sequence[Found],
    configured: Sequence[str | None] = (),
    taken: Collection[str] = (),
    only_name: str | None = None,
) -> list[Row]:
    """Each adapter with the name of its bus: valid, unique, and not one of `taken`.

    `configured` has, for each adapter, the bus that it is already, or None. `only_name` names the new
    bus where there is but one.
    """
    known = [*configured, *[None] * (len(found) - len(configured))]
    ready = [one for one, bus in zip(found, known, strict=True) if bus is None and one.keys is not None]
    names = {*taken, *(bus for bus in known if bus is not None)}
    rows = []
    for one, bus in zip(found, known, strict=True):
        if bus is not None:
            rows.append(Row(one, bus, configured=True))
        elif one.keys is None:
            rows.append(Row(one, None))
        else:
            wish = only_name if len(ready) == 1 and only_name not in names else None
            rows.append(Row(one, wish or _free_name(one, names)))
            names.add(str(rows[-1].bus))
    return rows


def _free_name(one: Found, names: Collection[str]) -> str:
    """`can0` for the interface can0; otherwise the kind of adapter and a number."""
    is_link = one.interface == "socketcan"
    stem = (
        re.sub(r"[^A-Za-z0-9_-]+", "-", one.channel if is_link else one.interface).strip("-_")[:28] or "bus"
    )
    if is_link and stem not in names:
        return stem
    joint = "-" if stem[-1].isdigit() else ""
    return next(name for n in count() if (name := f"{stem}{joint}{n}") not in names)


def toml(rows: Sequence[Row]) -> str:
    """The tables [bus.NAME] of the adapters that are no buses yet; empty where there are none."""
    tables = {row.bus: row.found.table for row in rows if row.new}
    return tomli_w.dumps({"bus": tables}) if tables else ""


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table that `HEADER` heads."""
    one = row.found
    state = f"{one.state}, configured" if row.configured else one.state
    return (row.bus or "-", one.interface, one.channel, state, one.adapter)


def as_json(row: Row) -> dict[str, Any]:
    one = row.found
    return {
        "bus": row.bus,
        "configured": row.configured,
        "interface": one.interface,
        "channel": one.channel,
        "state": one.state,
        "adapter": one.adapter,
        "remedy": one.remedy,
        "table": None if one.keys is None else one.table,
    }
