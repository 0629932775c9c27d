"""`cancorderctl clients`: who is connected, and what they lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli import layout, render, terminal
from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    buses = chosen(ControlClient(options.socket).ask("GET", protocol.STATUS)["buses"], options.buses)
    if options.json:
        print(json.dumps({bus["name"]: bus["clients"] for bus in buses}, indent=2))
    elif terminal.on_terminal():
        cells = render.client_cells(buses)
        terminal.show(layout.table(cells, _styles(cells)) if cells.rows else [[(render.NO_CLIENTS, "")]])
    else:
        print(render.clients_table(buses))
    return Exit.DONE


def _styles(cells: render.Table) -> list[list[str]]:
    """Red where frames were lost."""
    return [
        [
            "bold red" if name == "DROPPED" and cell != "0" else ""
            for name, cell in zip(cells.header, row, strict=True)
        ]
        for row in cells.rows
    ]
