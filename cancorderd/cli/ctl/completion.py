"""`cancorderctl completion`: the script that makes a shell complete a command, generated from its parser."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands

PROGRAMS = (
    "cancorderctl",
    "cancorderd",
    "cancorder-canlogger",
    "cancorder-rusoku-canlogger",
    "cancorder-mock-uds-canlogger",
)
_BUSES_TIMEOUT_S = 1.0
"""Longest time that a person who has pressed Tab waits for the names of buses."""


def add_parser(commands: Commands, program: argparse.ArgumentParser) -> None:
    parser = subcommand.add_command(
        commands,
        "completion",
        "print a shell completion script",
        functools.partial(run, program),
        ('eval "$(cancorderctl completion bash)"', "in ~/.bashrc"),
        ('eval "$(cancorderctl completion zsh)"', "in ~/.zshrc, after compinit"),
        ("completion fish >~/.config/fish/completions/cancorderctl.fish", ""),
        ("completion bash cancorderd", "for the daemon's own options"),
    )
    parser.add_argument(
        "shell",
        metavar="SHELL",
        choices=("bash", "zsh", "fish", "buses"),
        help="bash, zsh or fish; buses prints the names of the buses instead, for the scripts",
    )
    parser.add_argument(
        "program",
        metavar="PROGRAM",
        nargs="?",
        choices=PROGRAMS,
        default="cancorderctl",
        help=f"program to complete: {', '.join(PROGRAMS)} (default: %(default)s)",
    )


def run(program: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.shell == "buses":
        status = ControlClient(options.socket, timeout_s=_BUSES_TIMEOUT_S).status()
        print(*(bus["name"] for bus in status["buses"]), sep="\n")
        return Exit.DONE
    from cancorderd.cli.ctl.completion_script import completion_script

    parser = program if options.program == program.prog else _parser(options.program)
    print(completion_script(parser, options.shell), end="")
    return Exit.DONE


def _parser(program: str) -> argparse.ArgumentParser:
    from cancorderd.cli import cancorderd
    from cancorderd.cli.canlogger import canlogger, mock_uds_canlogger, rusoku_canlogger

    match program:
        case "cancorderd":
            return cancorderd.parser()
        case "cancorder-canlogger":
            return canlogger.parser()
        case "cancorder-rusoku-canlogger":
            return rusoku_canlogger.parser()
        case "cancorder-mock-uds-canlogger":
            return mock_uds_canlogger.parser()
        case _:
            raise AssertionError(f"{program} is not one of the choices")
