"""The buses that the options of `cancorder-canlogger` may mean, in the order in which they are tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.adapters import registry
from cancorderd.adapters.auto_settings import AutoSettings
from cancorderd.adapters.gs_usb.settings import GsUsbSettings
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.adapters.socketcan.settings import SocketcanSettings
from cancorderd.adapters.toucan.settings import ToucanSettings
from cancorderd.cli.canlogger.one_bus import Candidate
from cancorderd.cli.canlogger.settings_from_options import as_options, common_keys, settings_from_keys
from cancorderd.config.validation import unknown_interface, validated

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_NET = Path("/sys/class/net")
_IFF_UP = 1


def candidates(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Candidate]:
    """Return the requested bus, the SocketCAN interface that may be meant instead, and any adapter that is there."""
    common = common_keys(options) | {"bitrate": options.bitrate}
    auto = settings_from_keys(parser, AutoSettings, {**common, "interface": "auto"}, prefer_fd=True)
    if options.auto or options.interface == "auto":
        return [Candidate(auto)]
    found: list[Candidate] = []
    explanation = ""
    if options.interface != "gs_usb" or options.channel.isdecimal():
        found.append(_requested(parser, options.interface, options.channel, common))
    else:
        explanation = f"gs_usb adapters have numbers, so {options.channel} is none of them. "
    found += _as_socketcan(options, common, explanation)
    found.append(Candidate(auto, ("" if found else explanation) + "Trying auto-detection..."))
    return found


def _requested(
    parser: argparse.ArgumentParser, interface: str, channel: str, common: Mapping[str, Any]
) -> Candidate:
    """Return the bus that the options name. Ends the program with a usage error if they are invalid."""
    kind = registry.settings_class(interface)
    if kind is None:
        fact, remedy = unknown_interface(interface, registry.interfaces())
        parser.error(f"argument --interface/-i: {fact}. {as_options(parser, remedy)}")
    keys = {**common, "interface": interface}
    number: Any = int(channel) if channel.isdecimal() else channel
    if kind is GsUsbSettings:
        # python-can's channel is the adapter's number here. An adapter of the kernel's driver is taken from it, unless
        # the kernel's interface is in use.
        keys |= {"index": number, "detach_kernel_driver": not kernel_interfaces()}
        return Candidate(settings_from_keys(parser, kind, keys), channel=channel)
    keys["channel"] = number if kind in (ToucanSettings, PythonCanSettings) else channel
    return Candidate(settings_from_keys(parser, kind, keys, prefer_fd=True))


def _as_socketcan(
    options: argparse.Namespace, common: Mapping[str, Any], explanation: str
) -> list[Candidate]:
    """Return the kernel's CAN interface if a channel given as gs_usb may really be one."""
    name, interfaces = options.channel, kernel_interfaces()
    if name.isdecimal():
        name = interfaces[int(name)] if int(name) < len(interfaces) else ""
    keys = {**common, "interface": "socketcan", "channel": name}
    likely = options.interface == "gs_usb" and name.lower().startswith(("can", "vcan"))
    settings, findings = validated(SocketcanSettings, keys)
    if not likely or settings is None or findings:
        return []
    return [Candidate(settings, f"{explanation}Trying the socketcan interface {name}...")]


def kernel_interfaces() -> list[str]:
    """Return the CAN interfaces that are up and belong to the kernel's own driver for gs_usb adapters."""
    found = []
    for driver in sorted(_NET.glob("*/device/driver")):
        flags = driver.parents[1] / "flags"
        if driver.resolve().name == "gs_usb" and int(flags.read_text(), 16) & _IFF_UP:
            found.append(driver.parents[1].name)
    return found
