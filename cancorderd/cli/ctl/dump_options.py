"""Options of `cancorderctl dump`, in the order of its help."""

from __future__ import annotations

import argparse

from cancorderd.cli.ctl import subcommand


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_sources(parser)
    _add_forms(parser)
    _add_looks_and_ends(parser)
    _add_decoding(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="BUS of this machine, HOST:PORT, zeroconf:NAME or nats:GATEWAY/BUS, followed by candump's filters, each after a comma: "
        "ID:MASK passes ids that equal ID in the bits of MASK, ID~MASK all others, j requires all filters to agree; "
        "hexadecimal, eight digits for 29-bit ids",
    )


def _add_forms(parser: argparse.ArgumentParser) -> None:
    """Add which frames are printed, how many, and how."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("-L", "--log", action="store_true", help="print candump's format of log files")
    form.add_argument("--json", action="store_true", help="print JSON, one object per line")
    parser.add_argument(
        "--summary",
        action="store_true",
        help="print no frames but, at the end, a table of the ids: number of frames, rate, times of the first and the last",
    )
    parser.add_argument(
        "-t",
        "--timestamp",
        metavar="TYPE",
        choices=("a", "A", "d", "z"),
        default="",
        help="begin lines with a time stamp: a absolute, A with the date, d since the frame before, "
        "z since the first frame",
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="print remote frames and error frames, too; for buses of this machine, since the network never carries them. "
        "The filter #MASK passes error frames of these classes only",
    )
    parser.add_argument(
        "-n", "--count", metavar="COUNT", type=subcommand.count, help="end after this number of frames"
    )
    parser.add_argument("-a", "--ascii", action="store_true", help="add the bytes as text")


def _add_looks_and_ends(parser: argparse.ArgumentParser) -> None:
    """Add colours, and when dump ends."""
    parser.add_argument(
        "--color",
        "--colour",
        metavar="WHEN",
        choices=("auto", "always", "never"),
        default="auto",
        help="a colour for each id: always, never or auto (default: on a terminal, unless NO_COLOR is set)",
    )
    parser.add_argument(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        help="if a bus is gone, wait until it is back (default: on a terminal)",
    )
    parser.add_argument(
        "-T", "--silence", metavar="MSECS", type=subcommand.count, help="end after this time without a frame"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=subcommand.seconds,
        help="end after this time; a failure if --count frames have not come",
    )


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--decode",
        metavar="FILE",
        action="append",
        default=[],
        help="add the signals of a DBC, KCD, SYM or ARXML file; may be repeated. Without it, a bus of this machine has the "
        "signals of its own database (the key database)",
    )
    parser.add_argument(
        "--j1939",
        action="store_true",
        help="look 29-bit ids up by their J1939 parameter group, whatever priority, source and destination they have, "
        "also in databases that do not mention J1939",
    )
