"""`cancorderctl clients`: connected clients and their losses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand, terminal
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.cli.ctl.quantities import duration
from cancorderd.cli.ctl.text_table import Table, styled_lines, text_lines
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.control.protocol import BusStatus

_HEADER = ("BUS", "CLIENT", "CONNECTED", "SENT", "DROPPED", "BACKLOG")


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "clients",
        "show connected clients and their losses",
        run,
        ("clients", "of all buses"),
        ("clients body", "of one bus"),
    )
    subcommand.add_buses(parser)
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    buses = select_buses(ControlClient(options.socket).status()["buses"], options.buses)
    table = client_table(buses)
    if options.json:
        print(json.dumps({bus["name"]: bus["clients"] for bus in buses}, indent=2))
    elif not table.rows:
        print("No clients.")
    elif terminal.on_terminal():
        terminal.print_lines(styled_lines(table, _styles(table)))
    else:
        print("\n".join(text_lines(table)))
    return Exit.DONE


def client_table(buses: list[BusStatus]) -> Table:
    """Return a row for each client; sent and dropped are frames, the backlog is in bytes."""
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
    return Table(_HEADER, rows)


def _styles(table: Table) -> list[list[str]]:
    """Return a style for each cell: red for lost frames."""
    return [
        [
            "bold red" if column == "DROPPED" and cell != "0" else ""
            for column, cell in zip(table.header, row, strict=True)
        ]
        for row in table.rows
    ]
