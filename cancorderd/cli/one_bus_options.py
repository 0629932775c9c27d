"""Options that the one-bus commands share, their mistakes, and what all their help texts say."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.cli.one_bus import NAME
from cancorderd.config import sentences
from cancorderd.config.bus import BusBase

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BITRATE = 500_000

SERVED = """\
Clients connect by TCP and receive each CAN frame as one packet, all of it big-endian:

  time stamp  8 bytes  microseconds since the Unix epoch
  id          4 bytes  arbitration id
  flags       1 byte   bit 0: 29-bit id, 1: CAN FD, 2: BRS, 3: ESI
  length      1 byte   of the data: 0-8, CAN FD 0-64
  data

In CANcorder: protocol ECUconnect Logger, this machine's host name, the port that is printed.
To look at the bytes: nc localhost PORT | xxd
"""
RECOVERY = """\
An unplugged adapter, a CAN error or a driver that hangs ends nothing: clients stay connected, and the bus
comes back by itself. For several buses, or all the time, see cancorderd(8).
"""

_Bus = TypeVar("_Bus", bound=BusBase)


def parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with what every command takes first; `add_last` adds the rest."""
    made = argparse.ArgumentParser(
        prog=command,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--port", "-p", type=int, metavar="PORT",
        help="TCP port for clients (default: the first free one from 42420)",
    )  # fmt: skip
    return made


def add_bitrate(made: argparse.ArgumentParser, common: str) -> None:
    made.add_argument(
        "--bitrate", "-b", type=int, default=DEFAULT_BITRATE, metavar="BPS",
        help=f"bitrate of the CAN bus in bit/s (default: %(default)s); {common}",
    )  # fmt: skip


def add_last(made: argparse.ArgumentParser, title: str = "ECUconnect-Logger") -> None:
    made.add_argument(
        "--verbose", "-v", action="store_true",
        help="print each frame; what the terminal is too slow for is left out here, counted, and sent to "
        "clients all the same",
    )  # fmt: skip
    made.add_argument(
        "--service-name", metavar="NAME",
        help=f"name to announce by Zeroconf (default: '{title} HOST:PORT'); begins with ECUconnect-Logger",
    )  # fmt: skip
    made.add_argument("--no-zeroconf", action="store_true", help="do not announce the bus on the network")


def port_label(options: argparse.Namespace) -> str:
    """For a line of `Plan.beginning`."""
    return "{port}" if options.port is not None else "{port} (auto)"


def common_keys(options: argparse.Namespace) -> dict[str, Any]:
    """What the shared options say, as keys of a bus."""
    given = {"port": options.port, "service_name": options.service_name}
    return {"name": NAME, "zeroconf": not options.no_zeroconf} | {
        key: value for key, value in given.items() if value is not None
    }


def section(
    made: argparse.ArgumentParser, kind: type[_Bus], keys: Mapping[str, Any], **unspoken: Any
) -> _Bus:
    """The bus of these keys, and of `unspoken` ones, which no option names. Ends the program for a mistake."""
    found = sentences.findings(kind, keys)
    for finding in found:
        key = str(finding.keys[0])
        made.error(f"argument {option_of(made, key)}: {finding.what}. {as_options(made, finding.remedy)}")
    return kind.model_validate({**keys, **unspoken})


def option_of(made: argparse.ArgumentParser, key: str) -> str:
    """The option for a key of a bus, as argparse names it in its own errors; the key where there is none."""
    for action in made._actions:  # noqa: SLF001 - there is no other way
        if action.dest == key:
            return "/".join(action.option_strings)
    return key


def as_options(made: argparse.ArgumentParser, remedy: str) -> str:
    """A remedy for a configuration file, in the words of the command line."""

    def option(match: re.Match[str]) -> str:
        name = option_of(made, match[1]).partition("/")[0]
        return f"{name} " if name.startswith("-") else match[0]

    return re.sub(r"\b([a-z_]+) = ", option, remedy).replace("leave the key out", "leave it out")
