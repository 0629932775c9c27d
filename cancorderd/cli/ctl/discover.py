"""`cancorderctl discover`: the loggers on the network that Zeroconf announces."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand, terminal
from cancorderd.cli.ctl.text_table import Table, styled_lines, text_lines
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.client import Logger

_HEADER = ("NAME", "BUS", "HOST", "ADDRESSES", "PORT", "INTERFACE", "CHANNEL", "BITRATE", "SYSTEM")
_TXT_KEYS = ("interface", "channel", "bitrate", "system")
_NOTHING_FOUND = (
    "No logger answered within {:g} s. Buses are announced unless zeroconf = false; a firewall must let "
    "UDP 5353 through; networks rarely pass Zeroconf on to each other: use HOST:PORT there."
)


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "discover",
        "list the loggers on the network, ours and others, by Zeroconf",
        run,
        ("discover", "listens for three seconds"),
        ("discover --timeout 10", "on a slow network"),
        ("discover --json", "with all that they announce"),
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=subcommand.seconds,
        default=3.0,
        help="time to listen (default: 3)",
    )
    subcommand.add_json(parser, "print all details as JSON")


def run(options: argparse.Namespace) -> int:
    from cancorderd import client

    try:
        loggers = client.discover(options.timeout)
    except client.DiscoveryFailed as error:
        raise ControlError(str(error), Exit.FAILED) from error
    if options.json:
        print(json.dumps([logger._asdict() for logger in loggers], indent=2))
    elif loggers and terminal.on_terminal():
        terminal.print_lines(styled_lines(logger_table(loggers)))
    elif loggers:
        print("\n".join(text_lines(logger_table(loggers))))
    if not loggers:
        print(_NOTHING_FOUND.format(options.timeout), file=sys.stderr)
    return Exit.DONE if loggers else Exit.FAILED


def logger_table(loggers: Sequence[Logger]) -> Table:
    """Return a row for each logger, with `-` for facts that it does not announce."""
    rows = [
        (
            logger.name,
            logger.text.get("bus") or "-",
            logger.host,
            " ".join(logger.addresses),
            str(logger.port),
            *(logger.text.get(key) or "-" for key in _TXT_KEYS),
        )
        for logger in loggers
    ]
    return Table(_HEADER, rows)
