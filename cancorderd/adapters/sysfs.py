"""Facts about devices from Linux's sysfs, which can be read without opening a device. Empty on other systems."""

from __future__ import annotations

import glob
import os

USB_DEVICES = "/sys/bus/usb/devices"
NETWORK_INTERFACES = "/sys/class/net"


def text(path: str) -> str:
    """Return the text of an attribute; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def usb_attribute(place: str, name: str) -> str:
    """Return an attribute of the USB device at `place`, such as 1-2.3."""
    return text(f"{USB_DEVICES}/{place}/{name}")


def usb_network_interfaces(place: str, usb_interface: int | None = None) -> list[str]:
    """Return the network interfaces that a driver makes of a USB device, or of one of its USB interfaces."""
    number = "*" if usb_interface is None else usb_interface
    return sorted(map(os.path.basename, glob.glob(f"{USB_DEVICES}/{place}:*.{number}/net/*")))


def usb_drivers(place: str, usb_interface: int) -> list[str]:
    """Return the kernel's drivers that hold a USB interface."""
    links = glob.glob(f"{USB_DEVICES}/{place}:*.{usb_interface}/driver")
    return [os.path.basename(os.path.realpath(link)) for link in links]
