"""The form of a command of `cancorderctl`: its summary, its examples, and arguments that several commands have."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias

from cancorderd.cli.help_text import HelpFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.cli.ctl.command_parser import CommandParser

Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"  # noqa: SLF001
"""The commands added so far; argparse has no public name for this."""

_SHORTEST_S, _LONGEST_S = 0.1, 86_400


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    *examples: tuple[str, str],
) -> CommandParser:
    """Add a command and return its parser.

    The options have `run`, and `usage_error`, which exits with the command's usage and a message. `summary` appears in the list of commands and begins the command's own help; each example is a command line and
    its explanation.
    """
    # A line that names the program stands as it is.
    lines = [
        (line if "cancorderctl " in line else f"cancorderctl {line}", explanation)
        for line, explanation in examples
    ]
    width = max(len(line) for line, _ in lines)
    shown = [f"  {line:{width}}  {explanation}".rstrip() for line, explanation in lines]
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog="\n".join(["examples:", *shown, ""]),
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, usage_error=parser.error)
    # Accepted after the command, too; SUPPRESS keeps a value that was given before the command.
    parser.add_argument("--socket", metavar="PATH", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def add_buses(parser: argparse.ArgumentParser) -> None:
    """Add the names of buses as arguments."""
    parser.add_argument("buses", metavar="BUS", nargs="*", help="only these buses (default: all)")


def add_json(parser: argparse.ArgumentParser, help_text: str = "print JSON") -> None:
    parser.add_argument("--json", action="store_true", help=help_text)


def seconds(text: str) -> float:
    """Convert an argument to a time span."""
    value = float(text)
    if not _SHORTEST_S <= value <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not between {_SHORTEST_S} and {_LONGEST_S} seconds")
    return value


def count(text: str) -> int:
    """Convert an argument to a number of things."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value
