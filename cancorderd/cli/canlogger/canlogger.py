"""The command `cancorder-canlogger`: one bus of any adapter, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.cli.canlogger import common_options
from cancorderd.cli.standard_streams import prepare

if TYPE_CHECKING:
    import argparse

COMMAND = "cancorder-canlogger"
_DESCRIPTION = """\
Streams every frame of one CAN bus to CANcorder and to any other program that speaks the ECUconnect Logger
protocol.
"""
_EPILOG = f"""\
{common_options.PROTOCOL_HELP}
{common_options.RECOVERY_HELP}
interfaces:
  gs_usb     CANable, candleLight, USB2CAN, BudgetCAN: --channel 0 is the first adapter. macOS: with sudo
  socketcan  CAN interfaces of Linux: --channel can0. Bring them up first:
             sudo ip link set can0 up type can bitrate 500000
  slcan      serial (LAWICEL) adapters: --channel /dev/ttyUSB0, on macOS /dev/tty.usbmodem1234
  toucan, and every interface of python-can: pcan, vector, ixxat, kvaser ...

examples:
  %(prog)s                                          the first gs_usb adapter
  %(prog)s -v                                       print every frame
  %(prog)s --auto                                   the first adapter that works
  %(prog)s --port 3000 --bitrate 250000
  %(prog)s --interface socketcan --channel can0
  %(prog)s --interface slcan --channel /dev/ttyUSB0
  two buses: %(prog)s -i socketcan -c can0 -p 42420 &
             %(prog)s -i socketcan -c can1 -p 42421 &

troubleshooting:
  "No CAN device found": is it plugged in (lsusb)? Try --auto; cancorderctl detect lists all adapters
  "Access denied" on macOS: run it with sudo
  "no permission" on Linux: the message names the udev rule or the group
  "interface can0 is down": sudo ip link set can0 up type can bitrate 500000
  clients receive nothing: does -v show frames? Does the firewall let the port in? Is the bitrate right?
"""
_FAILURE_TEXT = """\
No CAN device found!

Make sure you have a supported CAN adapter connected:
  - CANable, candleLight (gs_usb)
  - SLCAN device (-i slcan -c /dev/ttyUSB0)
  - SocketCAN interface (Linux) that is up: sudo ip link set can0 up type can bitrate 500000
Adapters of this machine: cancorderctl detect"""


def parser() -> argparse.ArgumentParser:
    command = common_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    common_options.add_bitrate(command, "common: 125000, 250000, 500000, 1000000")
    command.add_argument(
        "--interface", "-i", default="gs_usb", metavar="IFACE",
        help="kind of adapter (default: %(default)s): gs_usb, socketcan, slcan, pcan, vector and so on",
    )  # fmt: skip
    command.add_argument(
        "--channel", "-c", default="0", metavar="CHAN",
        help="which adapter (default: %(default)s): 0, 1 for gs_usb, can0 for socketcan, /dev/ttyUSB0 for slcan",
    )  # fmt: skip
    command.add_argument(
        "--auto", action="store_true", help="use the first adapter that works: gs_usb, slcan, socketcan"
    )
    common_options.add_last_options(command)
    return command


def main(arguments: list[str] | None = None) -> int:
    # Imported here, since `cancorderctl completion` needs the parser alone.
    from cancorderd.cli.canlogger import one_bus
    from cancorderd.cli.canlogger.candidates import candidates

    prepare()
    command = parser()
    options = command.parse_args(arguments)
    return one_bus.run(
        one_bus.Plan(
            process=COMMAND,
            candidates=candidates(command, options),
            start_lines=[
                "ECUconnect Logger starting...",
                f"TCP port: {common_options.port_label(options)}, CAN bitrate: {options.bitrate}",
            ],
            ready_lines=[],
            failure_text=_FAILURE_TEXT,
            verbose=options.verbose,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
