"""Options and help texts of every one-bus command. Light to import: `cancorderctl completion` needs the parsers."""

from __future__ import annotations

import argparse

from cancorderd.cli.help_text import HelpFormatter

BUS_NAME = "can"
"""Name of the bus, which the network and the log require."""
DEFAULT_BITRATE = 500_000

PROTOCOL_HELP = """\
Clients connect by TCP and receive each CAN frame as one packet, all of it big-endian:

  time stamp  8 bytes  microseconds since the Unix epoch
  id          4 bytes  arbitration id
  flags       1 byte   bit 0: 29-bit id, 1: CAN FD, 2: BRS, 3: ESI
  length      1 byte   of the data: 0-8, CAN FD 0-64
  data

In CANcorder: protocol ECUconnect Logger, this machine's host name, the port that is printed.
To look at the bytes: nc localhost PORT | xxd
"""
RECOVERY_HELP = """\
If an adapter is unplugged, a CAN error occurs or a driver hangs, clients stay connected and the bus comes back
by itself. For several buses, or permanent operation, see cancorderd(8).
"""


def parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser with the options that come first; `add_last_options` adds those that come last."""
    command_parser = argparse.ArgumentParser(
        prog=command,
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    command_parser.add_argument(
        "--port", "-p", type=int, metavar="PORT",
        help="TCP port for clients (default: the first free port from 42420)",
    )  # fmt: skip
    return command_parser


def add_bitrate(command_parser: argparse.ArgumentParser, rates: str) -> None:
    command_parser.add_argument(
        "--bitrate", "-b", type=int, default=DEFAULT_BITRATE, metavar="BPS",
        help=f"bitrate of the CAN bus in bit/s (default: %(default)s); {rates}",
    )  # fmt: skip


def add_last_options(command_parser: argparse.ArgumentParser, title: str = "ECUconnect-Logger") -> None:
    command_parser.add_argument(
        "--verbose", "-v", action="store_true",
        help="print each frame; if the terminal is too slow, frames are left out and counted (clients still "
        "receive them)",
    )  # fmt: skip
    command_parser.add_argument(
        "--service-name", metavar="NAME",
        help=f"name to announce by Zeroconf (default: '{title} HOST:PORT'); ECUconnect-Logger is put in front of it if it "
        "is missing",
    )  # fmt: skip
    command_parser.add_argument(
        "--no-zeroconf", action="store_true", help="do not announce the bus on the network"
    )


def port_label(options: argparse.Namespace) -> str:
    """Return the port as text for `Plan.start_lines`."""
    return "{port}" if options.port is not None else "{port} (auto)"
