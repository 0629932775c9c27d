"""The command `cancorder-rusoku-canlogger`: one TouCAN adapter by Rusoku, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.adapters.toucan.can_api import BITRATE_INDEXES
from cancorderd.cli.canlogger import common_options
from cancorderd.cli.standard_streams import prepare

if TYPE_CHECKING:
    import argparse

COMMAND = "cancorder-rusoku-canlogger"
_LIBRARY = "libUVCANTOU.dylib"
_BITRATES = ", ".join(str(rate) for rate in sorted(BITRATE_INDEXES, reverse=True))
_DESCRIPTION = """\
Streams every frame of a Rusoku TouCAN USB adapter, through MacCAN's library, to CANcorder and to any other
program that speaks the ECUconnect Logger protocol.
"""
_EPILOG = f"""\
{common_options.PROTOCOL_HELP}
{common_options.RECOVERY_HELP}
bitrates: {_BITRATES}

examples:
  %(prog)s                                  the first adapter, 500000 bit/s
  %(prog)s -v                               print every frame
  %(prog)s --port 3000 --bitrate 250000
  %(prog)s --channel 1                      the second adapter

troubleshooting:
  no CAN library: install it from https://github.com/mac-can/RusokuCAN.dylib (./build_no.sh; make all;
    sudo make install), so that libUVCANTOU.dylib is in /usr/local/lib; or name its file: --library PATH
  there is no TouCAN channel 0: is it plugged in? system_profiler SPUSBDataType | grep -i toucan
  bus-off: check wiring, termination, and that --bitrate is that of the bus
"""
_FAILURE_TEXT = """\
No TouCAN adapter could be opened!

Make sure that a TouCAN USB adapter (Model F4FS1) is connected:
  system_profiler SPUSBDataType | grep -i toucan    (macOS; lsusb on Linux)
and that its library is installed:
  https://github.com/mac-can/RusokuCAN.dylib        (or name it: --library PATH)"""


def parser() -> argparse.ArgumentParser:
    command = common_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    common_options.add_bitrate(command, "--help lists the bitrates of TouCAN")
    command.add_argument(
        "--channel", "-c", type=int, default=0, metavar="CHAN",
        help="number of the adapter, from 0 (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--library", "-l", default=_LIBRARY, metavar="PATH",
        help="path of the library (default: %(default)s as MacCAN installs it; libUVCANTOU.so on Linux)",
    )  # fmt: skip
    common_options.add_last_options(command)
    return command


def main(arguments: list[str] | None = None) -> int:
    # Imported here, since `cancorderctl completion` needs the parser alone.
    from cancorderd.adapters.toucan.settings import ToucanSettings
    from cancorderd.cli.canlogger import one_bus
    from cancorderd.cli.canlogger.settings_from_options import common_keys, settings_from_keys

    prepare()
    command = parser()
    options = command.parse_args(arguments)
    if options.bitrate not in BITRATE_INDEXES:
        command.error(
            f"argument --bitrate/-b: unsupported bitrate {options.bitrate}. Supported bitrates: {_BITRATES}"
        )
    keys = common_keys(options) | {
        "interface": "toucan",
        "channel": options.channel,
        "bitrate": options.bitrate,
        # Left out by default: then the library is searched for in this system's usual places.
        **({} if options.library == _LIBRARY else {"library": options.library}),
    }
    return one_bus.run(
        one_bus.Plan(
            process=COMMAND,
            txt_record={"interface": "rusokucan"},
            candidates=[one_bus.Candidate(settings_from_keys(command, ToucanSettings, keys))],
            start_lines=[
                "ECUconnect Logger (RusokuCAN) starting...",
                f"TCP port: {common_options.port_label(options)}, CAN bitrate: {options.bitrate} bps",
                f"TouCAN channel: {options.channel}",
            ],
            ready_lines=[],
            failure_text=_FAILURE_TEXT,
            verbose=options.verbose,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
