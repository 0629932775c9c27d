"""`cancorderctl clients`: who is connected, and what they lost."""

from __future__ import annotations

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
    buses = chosen(ControlClient(options.socket).ask("GET", protocol.STATUS)["buses"], options.buses)
    if options.json:
        print(json.dumps({bus["name"]: bus["clients"] for bus in buses}, indent=2))
    else:
        print(render.clients_table(buses))
    return Exit.DONE
