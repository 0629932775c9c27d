"""The command `cancorder-canlogger`: one bus of any adapter, in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.cli import one_bus, one_bus_options
from cancorderd.cli.one_bus import Attempt, Plan
from cancorderd.config import sentences
from cancorderd.config.interfaces import refusal, section_of
from cancorderd.config.model import AutoBus, GsUsbBus, PythonCanBus, SocketcanBus, ToucanBus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

COMMAND = "cancorder-canlogger"
_DEFAULT_INTERFACE = "gs_usb"
_NET = Path("/sys/class/net")
_IFF_UP = 1
_DESCRIPTION = """\
Streams every frame of one CAN bus to CANcorder and to any other program that speaks the ECUconnect Logger
protocol.
"""
_EPILOG = f"""\
{one_bus_options.SERVED}
{one_bus_options.RECOVERY}
interfaces:
  gs_usb     CANable, candleLight, USB2CAN, BudgetCAN: --channel 0 is the first adapter. macOS: with sudo
  socketcan  CAN interfaces of Linux: --channel can0. Bring them up first:
             sudo ip link set can0 up type can bitrate 500000
  slcan      serial (LAWICEL) adapters: --channel /dev/ttyUSB0, on macOS /dev/tty.usbmodem1234
  toucan, and every interface of python-can: pcan, vector, ixxat, kvaser ...

examples:
  %(prog)s                                          the first gs_usb adapter
  %(prog)s -v                                       with every frame printed
  %(prog)s --auto                                   the first adapter that works
  %(prog)s --port 3000 --bitrate 250000
  %(prog)s --interface socketcan --channel can0
  %(prog)s --interface slcan --channel /dev/ttyUSB0
  two buses: %(prog)s -i socketcan -c can0 -p 42420 &
             %(prog)s -i socketcan -c can1 -p 42421 &

troubleshooting:
  "No CAN device found": is it plugged in (lsusb)? Try --auto; cancorderctl detect lists what there is
  "Access denied" on macOS: run it with sudo
  "no permission" on Linux: what is printed names the udev rule or the group
  "interface can0 is down": sudo ip link set can0 up type can bitrate 500000
  clients get nothing: does -v show frames? Does the firewall let the port in? Is the bitrate right?
"""
_NOTHING = """\
No CAN device found!

Make sure you have a supported CAN adapter connected:
  - CANable, candleLight (gs_usb)
  - SLCAN device (-i slcan -c /dev/ttyUSB0)
  - SocketCAN interface (Linux) that is up: sudo ip link set can0 up type can bitrate 500000
What this machine has: cancorderctl detect"""


def parser() -> argparse.ArgumentParser:
    made = one_bus_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    one_bus_options.add_bitrate(made, "common: 125000, 250000, 500000, 1000000")
    made.add_argument(
        "--interface", "-i", default=_DEFAULT_INTERFACE, metavar="IFACE",
        help="kind of adapter (default: %(default)s): gs_usb, socketcan, slcan, pcan, vector and so on",
    )  # fmt: skip
    made.add_argument(
        "--channel", "-c", default="0", metavar="CHAN",
        help="which adapter (default: %(default)s): 0, 1 for gs_usb, can0 for socketcan, /dev/ttyUSB0 for slcan",
    )  # fmt: skip
    made.add_argument(
        "--auto", action="store_true", help="take the first adapter that works: gs_usb, slcan, socketcan"
    )
    one_bus_options.add_last(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    return one_bus.run(
        Plan(
            process=COMMAND,
            attempts=attempts(made, options),
            beginning=[
                "ECUconnect Logger starting...",
                f"TCP port: {one_bus_options.port_label(options)}, CAN bitrate: {options.bitrate}",
            ],
            ready=[],
            nothing=_NOTHING,
            verbose=options.verbose,
        )
    )


def attempts(made: argparse.ArgumentParser, options: argparse.Namespace) -> list[Attempt]:
    """What to open, one after the other: what is asked for, its likely meaning, whatever is there."""
    common = one_bus_options.common_keys(options) | {"bitrate": options.bitrate}
    auto = one_bus_options.section(made, AutoBus, {**common, "interface": "auto"}, prefer_fd=True)
    if options.auto or options.interface == "auto":
        return [Attempt(auto)]
    found: list[Attempt] = []
    because = ""
    if options.interface != "gs_usb" or options.channel.isdecimal():
        found.append(_asked_for(made, options.interface, options.channel, common))
    else:
        because = f"gs_usb numbers its adapters, and knows no {options.channel}. "
    found += _as_socketcan(options, common, because)
    found.append(Attempt(auto, ("" if found else because) + "Trying auto-detection..."))
    return found


def _asked_for(
    made: argparse.ArgumentParser, interface: str, channel: str, common: Mapping[str, Any]
) -> Attempt:
    """The bus that the options name. Ends the program where there can be none."""
    kind = section_of(interface)
    if kind is None:
        what, remedy = refusal(interface)
        made.error(f"argument --interface/-i: {what}. {one_bus_options.as_options(made, remedy)}")
    keys = {**common, "interface": interface}
    number: Any = int(channel) if channel.isdecimal() else channel
    if kind is GsUsbBus:
        # What python-can calls a channel is which adapter; also one of the kernel's, unless it is in use there.
        keys |= {"index": number, "detach_kernel_driver": not kernel_links()}
        return Attempt(one_bus_options.section(made, kind, keys), channel=channel)
    keys["channel"] = number if kind in (ToucanBus, PythonCanBus) else channel
    return Attempt(one_bus_options.section(made, kind, keys, prefer_fd=True))


def _as_socketcan(options: argparse.Namespace, common: Mapping[str, Any], because: str) -> list[Attempt]:
    """What is to be a gs_usb adapter may be an interface of the kernel's."""
    name, links = options.channel, kernel_links()
    if name.isdecimal():
        name = links[int(name)] if int(name) < len(links) else ""
    keys = {**common, "interface": "socketcan", "channel": name}
    likely = options.interface == _DEFAULT_INTERFACE and name.lower().startswith(("can", "vcan"))
    if not likely or sentences.findings(SocketcanBus, keys):
        return []
    section = SocketcanBus.model_validate({**keys, "prefer_fd": True})
    return [Attempt(section, f"{because}Trying the socketcan interface {name}...")]


def kernel_links() -> list[str]:
    """The CAN interfaces that are up, of gs_usb adapters that the kernel's own driver has."""
    found = []
    for link in sorted(_NET.glob("*/device/driver")):
        flags = link.parents[1] / "flags"
        if link.resolve().name == "gs_usb" and int(flags.read_text(), 16) & _IFF_UP:
            found.append(link.parents[1].name)
    return found


if __name__ == "__main__":
    sys.exit(main())
