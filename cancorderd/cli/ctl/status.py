"""`cancorderctl status`: the state of each bus."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import bus_table, subcommand, terminal
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.cli.ctl.forward_lines import forward_lines, forward_style
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit, all_is_well, forwarding_impaired

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.control.protocol import BusStatus, StatusAnswer


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "status",
        "show the state of each bus",
        run,
        ("status", "all buses"),
        ("status body --json", "one bus, for scripts"),
        ("status --watch", "live; q or Ctrl+C quits"),
        ("status --watch --json --interval 10", "one line of JSON every ten seconds"),
    )
    subcommand.add_buses(parser)
    subcommand.add_json(parser, "print all details as JSON")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="repeat: a live page on a terminal, else tables or JSON lines",
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=subcommand.seconds,
        default=1.0,
        help="with --watch: time between updates (default: 1)",
    )


def run(options: argparse.Namespace) -> int:
    if options.watch:
        from cancorderd.cli.ctl import watch

        return watch.run(options)
    status = ControlClient(options.socket).status()
    status["buses"] = select_buses(status["buses"], options.buses)
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        _print_table(status)
    good = all_good(status["buses"]) and not forwarding_impaired(status.get("forward"))
    return Exit.DONE if good else Exit.NOT_ALL_RUNNING


def all_good(buses: list[BusStatus]) -> bool:
    """Return whether every bus runs that should, and every bus is recorded that should be."""
    return all(map(all_is_well, buses))


def _print_table(status: StatusAnswer) -> None:
    if not terminal.on_terminal():
        print(bus_table.status_text(status, time.time()))
        return
    from cancorderd.cli.ctl import fitted_bus_table

    lines = fitted_bus_table.bus_lines(status["buses"], time.time(), shutil.get_terminal_size().columns)
    forward = [[(text, forward_style(status))] for text in forward_lines(status)]
    terminal.print_lines(
        [[(bus_table.heading(status), "")], [], *lines, *([[], *forward] if forward else [])]
    )
