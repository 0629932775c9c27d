"""`cancorderctl status`: how the buses are."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from cancorderd.cli import render
from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    status = ControlClient(options.socket).ask("GET", protocol.STATUS)
    status["buses"] = chosen(status["buses"], options.buses)
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        print(render.status_table(status, time.time()))
    return Exit.DONE if render.all_as_wanted(status["buses"]) else Exit.NOT_ALL_RUNNING
