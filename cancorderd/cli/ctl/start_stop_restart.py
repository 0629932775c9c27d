"""`cancorderctl start`, `stop` and `restart`: requests to one bus after another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import VERBS, Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.control.protocol import Verb

_SUMMARIES_AND_EXAMPLES: dict[Verb, tuple[str, tuple[tuple[str, str], ...]]] = {
    "start": (
        "start stopped or failed buses",
        (("start body", ""), ("start --all", "all that are not disabled")),
    ),
    "stop": ("stop buses until they are started again or the daemon restarts", (("stop body bench", ""),)),
    "restart": (
        "restart buses; clients stay connected",
        (("restart body", ""), ("restart --all", "all that are not disabled, one after another")),
    ),
}


def add_parsers(commands: Commands) -> None:
    for verb in VERBS:
        summary, examples = _SUMMARIES_AND_EXAMPLES[verb]
        parser = subcommand.add_command(commands, verb, summary, run, *examples)
        parser.add_argument("buses", metavar="BUS", nargs="*", help="name of a bus, as status shows it")
        parser.add_argument("--all", action="store_true", help="all buses that are not disabled")
        subcommand.add_json(parser, "print the resulting states as JSON")


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    if bool(options.buses) == options.all:
        options.usage_error(f"{options.command} which buses? Name them, or write --all.")
    buses = select_buses(client.status()["buses"], options.buses)  # reports unknown names
    names = [bus["name"] for bus in buses if bus["enabled"]] if options.all else options.buses
    answers = []
    for name in names:
        answer = client.control(name, options.command)
        answers.append(answer)
        reason = f": {answer['reason']}" if answer["reason"] else ""
        if not options.json:
            print(f"{name}: {answer['state']}{reason}", flush=True)
    if options.json:
        print(json.dumps(answers, indent=2))
    return Exit.DONE if all(answer["done"] for answer in answers) else Exit.FAILED
