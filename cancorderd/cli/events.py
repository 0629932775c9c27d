"""`cancorderctl events`: what happened to the buses and, with --follow, what happens."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from cancorderd.cli import render, terminal
from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


_STYLES = {"warning": "yellow", "error": "red", "critical": "red"}


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    chosen(client.ask("GET", protocol.STATUS)["buses"], options.buses)
    coloured = terminal.in_colours()
    with contextlib.suppress(KeyboardInterrupt):  # the way to end --follow
        for event in client.events(follow=options.follow):
            if not options.buses or event["bus"] in options.buses:
                print(json.dumps(event) if options.json else _line(event, coloured), flush=True)
    return Exit.DONE


def _line(event: dict[str, Any], coloured: bool) -> str:
    line = render.event_line(event)
    return terminal.painted(line, _STYLES.get(event["level"], "")) if coloured else line
