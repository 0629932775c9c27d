"""`cancorderctl check`: the mistakes in a configuration file, without the daemon."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.configuration_file import no_mistakes
from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.service_file import WHICH, service_file
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "check",
        "check a configuration file, without the daemon",
        run,
        ("check", "the service's file"),
        ("check new.toml", "another file, before it replaces that"),
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help=f"file to check (default: {WHICH})")
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from cancorderd.config.loading import ConfigurationError
    from cancorderd.config.missing_packages import load_with_packages

    path = service_file(options.file, options.socket)
    problems: list[str] = []
    names: list[str] = []
    try:
        names = [bus.name for bus in load_with_packages(path, pipe=True).buses]
    except ConfigurationError as error:
        problems = [str(problem) for problem in error.problems]
    if options.json:
        print(json.dumps({"file": path, "buses": names, "problems": problems}, indent=2))
    elif problems:
        print(*problems, sep="\n", file=sys.stderr)
    else:
        print(no_mistakes(path, len(names)))
    return Exit.FAILED if problems else Exit.DONE
