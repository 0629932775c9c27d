"""`cancorderctl events`: past events of the buses and, with --follow, new ones."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand, terminal
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.control.protocol import LoggedEvent

_STYLES = {"warning": "yellow", "error": "red", "critical": "red"}


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "events",
        "show events of the buses",
        run,
        ("events body", "recent events of one bus"),
        ("events --follow", "also new events, until Ctrl+C"),
        ("events --follow --json", "for scripts: one object per line"),
    )
    subcommand.add_buses(parser)
    parser.add_argument("--follow", action="store_true", help="continue with new events until Ctrl+C")
    subcommand.add_json(parser, "print JSON, one object per line")


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    select_buses(client.status()["buses"], options.buses)  # reports unknown names
    coloured = terminal.in_colours()
    with contextlib.suppress(KeyboardInterrupt):  # the way to end --follow
        for event in client.events(follow=options.follow):
            if options.buses and event["bus"] not in options.buses:
                continue
            if options.json:
                print(json.dumps(event), flush=True)
            else:
                style = _STYLES.get(event["level"], "")
                print(
                    terminal.styled(event_line(event), style) if coloured else event_line(event), flush=True
                )
    return Exit.DONE


def event_line(event: LoggedEvent) -> str:
    """Return the event with its local time."""
    from datetime import datetime  # every command imports this file, and few print events

    when = datetime.fromtimestamp(event["time"]).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S} {event['level']:7} {event['bus']}: {event['text']}"
