"""socketcan: the CAN interfaces of the Linux kernel.

`found_adapter` and `in_order` are pure; `links` and `device_name` ask the kernel.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from cancorderd.adapters import sysfs
from cancorderd.adapters.can_frame import CANFD_MTU
from cancorderd.adapters.candidate import Candidate
from cancorderd.adapters.scan import FoundAdapter, ScanResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.adapters.scan import ScanOptions
    from cancorderd.adapters.socketcan.link import Link


def scan(_options: ScanOptions) -> ScanResult:
    """Find every CAN interface. Raises OSError."""
    return ScanResult([found_adapter(link, device_name(link.name)) for link in links()])


def is_virtual(link: Link) -> bool:
    return link.kind in ("vcan", "vxcan")


def in_order(links: Iterable[Link]) -> list[Link]:
    """Sort real links before virtual ones, then by name: can2 before can10."""
    return sorted(links, key=lambda link: (is_virtual(link), len(link.name), link.name))


def found_adapter(link: Link, device: str = "") -> FoundAdapter:
    """Return a link as an adapter; the rates that it is set to become those of its bus.

    `device` is the name of the USB or other device behind it.
    """
    rate = link.bittiming.bitrate if link.bittiming else 0
    data_rate = link.data_bittiming.bitrate if link.data_bittiming else 0
    keys: dict[str, Any] = {"channel": link.name}
    states = ["up" if link.up else "down"]
    if rate:
        keys["bitrate"] = rate
        states.append(f"{rate} bit/s")
    if link.mtu >= CANFD_MTU:
        keys["fd"] = True
        states.append(f"FD {data_rate} bit/s" if data_rate else "FD")
        if data_rate:
            keys["data_bitrate"] = data_rate
    if link.up and link.controller not in (None, "error-active"):
        states.append(str(link.controller))
    if is_virtual(link):
        adapter, settings, otherwise = "virtual, without hardware", "", ""
    else:
        adapter = device or link.kind or "CAN interface"
        settings, otherwise = f" type can bitrate {rate or 500_000}", ", or write configure = true in its bus"
    remedy = "" if link.up else f"bring it up: ip link set {link.name} up{settings}{otherwise}"
    return FoundAdapter("socketcan", link.name, adapter, ", ".join(states), keys, remedy)


def links() -> list[Link]:
    """Return every CAN interface, up or down. Raises OSError."""
    if not sys.platform.startswith("linux"):
        return []
    from cancorderd.adapters.socketcan.netlink import LinkSocket  # noqa: PLC0415 - netlink exists on Linux only

    found = []
    with contextlib.closing(LinkSocket()) as kernel:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has just been removed
                found.append(kernel.read(name))
    return in_order(link for link in found if link.is_can)


def device_name(interface: str) -> str:
    """Return maker, product and serial number of the device behind an interface, or its driver."""
    link = f"{sysfs.NETWORK_INTERFACES}/{interface}/device"
    place = os.path.realpath(link)
    for folder in (place, os.path.dirname(place)):  # a USB device's names belong to its interface's parent
        words = [sysfs.text(f"{folder}/{key}") for key in ("manufacturer", "product", "serial")]
        if any(words):
            return " ".join(word for word in words if word)
    driver = os.path.realpath(f"{link}/driver")
    return os.path.basename(driver) if os.path.exists(driver) else ""


def candidates(links: Iterable[Link]) -> list[Candidate]:
    """Return the interfaces for a bus that searches."""
    return [Candidate("socketcan", link.name, "channel", link.name) for link in links]
