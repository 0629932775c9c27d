"""`cancorderctl status`: how the buses are."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from cancorderd.cli import layout, render, terminal
from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    if options.watch:
        from cancorderd.cli import watch  # noqa: PLC0415 - not for a single look

        return watch.run(options)
    status = ControlClient(options.socket).ask("GET", protocol.STATUS)
    status["buses"] = chosen(status["buses"], options.buses)
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        show(status)
    return Exit.DONE if render.all_as_wanted(status["buses"]) else Exit.NOT_ALL_RUNNING


def show(status: dict[str, Any]) -> None:
    """Print the table, as the output can show it."""
    if not terminal.on_terminal():
        print(render.status_table(status, time.time()))
        return
    lines = layout.of_buses(status["buses"], time.time(), shutil.get_terminal_size().columns)
    terminal.show([[(render.status_head(status), "")], [], *lines])
