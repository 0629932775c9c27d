"""The command `cancorder-rusoku-canlogger`: one TouCAN adapter by Rusoku, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.cli import one_bus, one_bus_options
from cancorderd.cli.one_bus import Attempt, Plan
from cancorderd.config.model import ToucanBus
from cancorderd.sources.toucan_channel import INDEXES

if TYPE_CHECKING:
    import argparse

COMMAND = "cancorder-rusoku-canlogger"
_LIBRARY = "libUVCANTOU.dylib"
_BITRATES = ", ".join(str(rate) for rate in sorted(INDEXES, reverse=True))
_DESCRIPTION = """\
Streams every frame of a Rusoku TouCAN USB adapter, through MacCAN's library, to CANcorder and to any other
program that speaks the ECUconnect Logger protocol.
"""
_EPILOG = f"""\
{one_bus_options.SERVED}
{one_bus_options.RECOVERY}
bitrates: {_BITRATES}

examples:
  %(prog)s                                  the first adapter, 500000 bit/s
  %(prog)s -v                               with every frame printed
  %(prog)s --port 3000 --bitrate 250000
  %(prog)s --channel 1                      the second adapter

troubleshooting:
  no CAN library: install it from https://github.com/mac-can/RusokuCAN.dylib (./build_no.sh; make all;
    sudo make install), so that libUVCANTOU.dylib is in /usr/local/lib; or name its file: --library PATH
  there is no TouCAN channel 0: is it plugged in? system_profiler SPUSBDataType | grep -i toucan
  bus-off: check wiring, termination, and that --bitrate is that of the bus
"""
_NOTHING = """\
No TouCAN adapter could be opened!

Make sure that a TouCAN USB adapter (Model F4FS1) is connected:
  system_profiler SPUSBDataType | grep -i toucan    (macOS; lsusb on Linux)
and that its library is installed:
  https://github.com/mac-can/RusokuCAN.dylib        (or name it: --library PATH)"""


def parser() -> argparse.ArgumentParser:
    made = one_bus_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    one_bus_options.add_bitrate(made, "--help lists what TouCAN has")
    made.add_argument(
        "--channel", "-c", type=int, default=0, metavar="CHAN",
        help="which adapter, counted from 0 (default: %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--library", "-l", default=_LIBRARY, metavar="PATH",
        help="path of the library (default: %(default)s where MacCAN installs it; libUVCANTOU.so on Linux)",
    )  # fmt: skip
    one_bus_options.add_last(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    if options.bitrate not in INDEXES:
        made.error(
            f"argument --bitrate/-b: unsupported bitrate {options.bitrate}. Supported bitrates: {_BITRATES}"
        )
    keys = one_bus_options.common_keys(options) | {
        "interface": "toucan",
        "channel": options.channel,
        "bitrate": options.bitrate,
        # By default wherever the library lies on this system.
        **({} if options.library == _LIBRARY else {"library": options.library}),
    }
    return one_bus.run(
        Plan(
            process=COMMAND,
            text={"interface": "rusokucan"},
            attempts=[Attempt(one_bus_options.section(made, ToucanBus, keys))],
            beginning=[
                "ECUconnect Logger (RusokuCAN) starting...",
                f"TCP port: {one_bus_options.port_label(options)}, CAN bitrate: {options.bitrate} bps",
                f"TouCAN channel: {options.channel}",
            ],
            ready=[],
            nothing=_NOTHING,
            verbose=options.verbose,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
