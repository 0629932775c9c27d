"""`cancorderctl start`, `stop` and `restart`: one bus after another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli.names import chosen
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    chosen(client.ask("GET", protocol.STATUS)["buses"], options.buses)
    answers = []
    for name in options.buses:
        answer = client.ask("POST", protocol.bus_path(name, options.command))
        answers.append(answer)
        reason = f": {answer['reason']}" if answer["reason"] else ""
        if not options.json:
            print(f"{name}: {answer['state']}{reason}", flush=True)
    if options.json:
        print(json.dumps(answers, indent=2))
    failed = options.command != "stop" and any(answer["state"] == "failed" for answer in answers)
    return Exit.FAILED if failed else Exit.DONE
