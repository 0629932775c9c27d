"""`cancorderctl logs`: the service's log, by the program of the service manager that keeps it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, NoReturn

from cancorderd.cli.ctl import subcommand
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands

_LAUNCHD_LOG = "/usr/local/var/log/cancorderd.log"
"""Where packaging/launchd has it written."""


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "logs",
        "show the log of the service, from the journal",
        run,
        ("logs", "the latest lines"),
        ("logs body --follow", "of one bus, and what follows, until Ctrl+C"),
        ("logs --json", "with all fields, as journalctl prints them"),
    )
    subcommand.add_buses(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="continue with new lines until Ctrl+C")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="COUNT",
        type=subcommand.count,
        default=100,
        help="number of past lines (default: %(default)s)",
    )
    subcommand.add_json(parser, "print JSON, one object per line")


def run(options: argparse.Namespace) -> NoReturn:
    """Become the program that prints the log. Raises ControlError if there is none."""
    command = journal_command(options)
    if not os.path.isdir("/run/systemd/system") and sys.platform == "darwin":
        command = file_command(options)
    if not shutil.which(command[0]):
        raise ControlError(
            f"there is no {command[0]} here: the log is where cancorderd was told to write its standard error. "
            "cancorderctl events shows what happened to buses.",
            Exit.FAILED,
        )
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 - no shell


def journal_command(options: argparse.Namespace) -> list[str]:
    """Return the command that prints the log under systemd; a field of each message names its bus."""
    return [
        *("journalctl", "--unit", "cancorderd", "--lines", str(options.lines)),
        *(["--output", "json"] if options.json else []),
        *(["--follow"] if options.follow else []),
        *(f"CANCORDER_BUS={name}" for name in options.buses),
    ]


def file_command(options: argparse.Namespace) -> list[str]:
    """Return the command that prints the log under launchd, which keeps lines of all buses in one file."""
    return ["tail", "-n", str(options.lines), *(["-F"] if options.follow else []), _LAUNCHD_LOG]
