"""SocketCAN: the CAN interfaces of the Linux kernel.

`described` and `in_order` are pure; `links` asks the kernel.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from cancorderd.detect.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.sources.can_link_messages import Link

_CANFD_MTU = 72
_SYSFS = "/sys/class/net"


def is_virtual(link: Link) -> bool:
    return link.kind in ("vcan", "vxcan")


def in_order(links: Iterable[Link]) -> list[Link]:
    """Real ones before virtual ones, then by name: can2 before can10."""
    return sorted(links, key=lambda link: (is_virtual(link), len(link.name), link.name))


def described(link: Link, device: str = "") -> Found:
    """The interface as what was found; the rates that it is set to become those of the bus.

    `device` is what the USB or other device behind it calls itself.
    """
    rate = link.bittiming.bitrate if link.bittiming else 0
    data_rate = link.data_bittiming.bitrate if link.data_bittiming else 0
    keys: dict[str, Any] = {"channel": link.name}
    states = ["up" if link.up else "down"]
    if rate:
        keys["bitrate"] = rate
        states.append(f"{rate} bit/s")
    if link.mtu >= _CANFD_MTU:
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
    return Found("socketcan", link.name, adapter, ", ".join(states), keys, remedy)


def links() -> list[Link]:
    """Every CAN interface, whether up or down. Raises OSError."""
    if not sys.platform.startswith("linux"):
        return []
    from cancorderd.sources.can_link import Links  # noqa: PLC0415 - netlink is Linux's

    found = []
    with contextlib.closing(Links()) as kernel:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has just gone
                found.append(kernel.read(name))
    return in_order(link for link in found if link.is_can)


def device(name: str) -> str:
    """Maker, product and serial number of the device behind an interface, or its driver."""
    place = os.path.realpath(f"{_SYSFS}/{name}/device")
    for folder in (place, os.path.dirname(place)):  # a USB device's names are its interface's parent's
        words = [_text(f"{folder}/{key}") for key in ("manufacturer", "product", "serial")]
        if any(words):
            return " ".join(word for word in words if word)
    driver = os.path.realpath(f"{_SYSFS}/{name}/device/driver")
    return os.path.basename(driver) if os.path.exists(driver) else ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
