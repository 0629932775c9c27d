"""`cancorderctl help`: the help of the program or of a command."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NoReturn

from cancorderd.cli.ctl import subcommand

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands


def add_parser(commands: Commands, program: argparse.ArgumentParser) -> None:
    parser = subcommand.add_command(
        commands,
        "help",
        "show this help, or that of a command",
        functools.partial(run, program),
        ("help events", ""),
    )
    names = tuple(commands.choices)
    parser.add_argument("about", metavar="COMMAND", nargs="?", choices=names, help="command to explain")


def run(program: argparse.ArgumentParser, options: argparse.Namespace) -> NoReturn:
    program.parse_args([*([options.about] if options.about else []), "--help"])
    raise AssertionError("--help ends the program")
