"""`cancorderctl events`: what happened to the buses and, with --follow, what happens."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from cancorderd.cli import render
from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    chosen(client.ask("GET", protocol.STATUS)["buses"], options.buses)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end --follow
        for event in client.events(follow=options.follow):
            if not options.buses or event["bus"] in options.buses:
                print(json.dumps(event) if options.json else render.event_line(event), flush=True)
    return Exit.DONE
