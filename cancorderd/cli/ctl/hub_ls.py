"""`cancorderctl hub ls`: gateways and buses at a hub, as a table, as JSON, or as [bus.*] tables that view them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from cancorderd.cli.ctl import hub_access, subcommand, terminal
from cancorderd.cli.ctl.quantities import duration
from cancorderd.cli.ctl.text_table import Table, styled_lines, text_lines
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.cli.ctl.text_table import Line
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.overview import BusAtHub

_HEADER = ("GATEWAY", "BUS", "LAST FRAME", "FRAMES/S", "LAG", "LOST", "WHY")
_EXPENDABLE = ("LAG", "FRAMES/S", "LAST FRAME")
"""Columns that narrow windows omit, in this order."""
_LIVE_S = 20.0
"""A bus of which the hub has stored nothing for so long has no rate at present; the hub's clock may differ from ours."""
_AHEAD_S = 10.0
"""A frame cannot be newer than its storage: by this much, one of the clocks is wrong."""
_LONGEST_BUS_NAME = 32


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "ls",
        "list the gateways and buses at a hub",
        run,
        ("cancorderctl hub ls tls://hub.example.net", "last frame, rate, lag and losses of each bus"),
        ("cancorderctl hub ls tls://hub.example.net --toml", "as tables for the file of a viewer"),
    )
    hub_access.add_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--toml", action="store_true", help="print a [bus.NAME] table for each, to view it")
    form.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from cancorderd.hub.overview import overview

    # The tables are for other machines, which must not have the administrator's password.
    access = hub_access.access_of(options, administrator=not options.toml)
    found, silent = hub_access.at_hub(access, overview)
    now_s = time.time()
    if options.json:
        print(json.dumps([as_json(bus, now_s) for bus in found], indent=2))
    elif options.toml:
        print(toml(found, access), end="")
    elif found and terminal.on_terminal():
        terminal.print_lines(fitted_lines(bus_table(found, now_s), shutil.get_terminal_size().columns))
    elif found:
        print("\n".join(text_lines(bus_table(found, now_s))))
    if not found:
        print("No gateway has sent a frame yet. See cancorderctl hub check on the gateway.", file=sys.stderr)
    if silent:
        print(f"Without frames: {', '.join(silent)}.", file=sys.stderr)
    return Exit.DONE


def bus_table(buses: Sequence[BusAtHub], now_s: float) -> Table:
    """Return a row for each bus."""
    rows = []
    for bus in buses:
        if bus.mistake:
            rows.append((bus.gateway, bus.bus, "-", "-", "-", "-", bus.mistake))
            continue
        age_s = now_s - bus.last_us / 1e6
        rows.append(
            (
                bus.gateway,
                bus.bus,
                f"{duration(age_s)} ago",
                f"{_present_rate(bus, now_s):.0f}",
                _lag(bus.lag_s),
                str(bus.lost.total),
                _why(bus),
            )
        )
    return Table(_HEADER, rows)


def _why(bus: BusAtHub) -> str:
    """Return what is wrong with a bus, as far as its last message shows it."""
    reasons = []
    if (ahead_s := (bus.last_us - bus.stored_us) / 1e6) > _AHEAD_S:
        reasons.append(
            f"its stamps are {duration(ahead_s)} ahead of the hub: correct the clock of the gateway"
        )
    if lost := ", ".join(f"{place} {count}" for place, count in bus.lost._asdict().items() if count):
        reasons.append(f"lost: {lost}")
    return "; ".join(reasons)


def fitted_lines(table: Table, width: int) -> list[Line]:
    """Return the lines for a window: if it is too narrow, the reasons stand below, and columns are omitted."""
    lines = text_lines(table)
    if max(map(len, lines)) <= width:
        return styled_lines(table)
    narrow = table.without({"WHY"})
    omitted = []
    for column in _EXPENDABLE:
        if max(map(len, text_lines(narrow))) <= width:
            break
        narrow = narrow.without({column})
        omitted.append(column)
    below: list[Line] = [[(f"{row[0]}/{row[1]}: {row[-1]}", "")] for row in table.rows if row[-1]]
    if omitted:
        below.append([(f"Too narrow for {', '.join(omitted)}.", "dim")])
    return [*styled_lines(narrow), *([[("", "")]] if below else []), *below]


def as_json(bus: BusAtHub, now_s: float) -> dict[str, Any]:
    return {
        "gateway": bus.gateway,
        "bus": bus.bus,
        "last_frame": bus.last_us / 1e6,
        "last_frame_age_s": round(now_s - bus.last_us / 1e6, 3),
        "frames_per_second": round(_present_rate(bus, now_s), 1),
        "lag_s": round(bus.lag_s, 3),
        "lost": bus.lost._asdict(),
        "mistake": bus.mistake,
    }


def toml(buses: Sequence[BusAtHub], access: HubAccess) -> str:
    """Return a [bus.NAME] table for each bus."""
    import tomli_w

    keys = ("credentials", "user", "password_file", "ca", "certificate", "key")
    login = {key: text for key in keys if (text := getattr(access, key)) is not None}
    # The file that the tables are for has a folder of its own.
    login |= {key: os.path.abspath(text) for key, text in login.items() if key != "user"}
    tables: dict[str, dict[str, Any]] = {}
    for bus in buses:
        tables[_name(bus, set(tables))] = {
            "interface": "nats",
            "url": list(access.url),
            **login,
            "gateway": bus.gateway,
            "bus": bus.bus,
        }
    return tomli_w.dumps({"bus": tables}) if tables else ""


def _name(bus: BusAtHub, taken: set[str]) -> str:
    """Return a name of at most 32 characters that no other bus has: GATEWAY-BUS, else cut and numbered."""
    wanted = re.sub(r"^[_-]+", "", f"{bus.gateway}-{bus.bus}")
    name, number = wanted[:_LONGEST_BUS_NAME], 2
    while name in taken:
        end = f"-{number}"
        name, number = wanted[: _LONGEST_BUS_NAME - len(end)] + end, number + 1
    return name


def _present_rate(bus: BusAtHub, now_s: float) -> float:
    return bus.frames_per_second if now_s - bus.stored_us / 1e6 < _LIVE_S else 0.0


def _lag(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)
