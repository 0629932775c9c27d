"""`cancorderctl completion`: what makes a shell complete our commands. packaging/man/build writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

SCRIPTS = Path(__file__).with_name("completions")


def run(options: argparse.Namespace) -> int:
    if options.shell == "buses":
        status = ControlClient(options.socket, timeout_s=1.0).ask("GET", protocol.STATUS)
        print(*(bus["name"] for bus in status["buses"]), sep="\n")
    else:
        print((SCRIPTS / f"{options.program}.{options.shell}").read_text(), end="")
    return Exit.DONE
