"""gs_usb: USB adapters with candleLight firmware and its kin, and who holds them.

`described` is pure; `look` asks libusb and, on Linux, sysfs.
"""

from __future__ import annotations

import errno
import glob
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.detect.found import Found
from cancorderd.sources.usb_devices import SYSFS, adapters, failure

if TYPE_CHECKING:
    from cancorderd.sources.usb_devices import Adapter


class Holder(NamedTuple):
    """What stands between an adapter and a bus that wants it."""

    links: tuple[str, ...] = ()
    """Interfaces that the kernel's driver makes of it, such as can0."""
    forbidden: bool = False
    """This user may not open it."""


def described(adapter: Adapter, index: int, product: str, holder: Holder) -> Found:
    """The adapter as what was found. `index` is its place among all of them."""
    name = (
        f"{product or 'gs_usb adapter'} (USB {adapter.vendor:04x}:{adapter.product:04x}, at {adapter.place})"
    )
    keys: dict[str, Any] | None = {"serial": adapter.serial} if adapter.serial else {"index": index}
    state, remedy = "ready", ""
    if holder.links:
        state = f"held by the kernel as {', '.join(holder.links)}"
        remedy = f'use interface = "socketcan", channel = "{holder.links[0]}"'
        keys = None
    elif holder.forbidden:
        state, remedy = "no permission", str(failure(adapter, PermissionError(errno.EACCES, "")))
    return Found("gs_usb", adapter.serial or f"index {index}", name, state, keys, remedy)


def look() -> list[Found]:
    """Every gs_usb adapter. Raises SettingsRefused without libusb, BusError where it does not work."""
    return [described(one, index, _product(one), _holder(one)) for index, one in enumerate(adapters())]


def _holder(adapter: Adapter) -> Holder:
    links = glob.glob(f"{SYSFS}/{adapter.place}:*/net/*")
    node = f"/dev/bus/usb/{adapter.bus:03d}/{adapter.address:03d}"
    forbidden = os.path.exists(node) and not os.access(node, os.R_OK | os.W_OK)
    return Holder(tuple(sorted(map(os.path.basename, links))), forbidden)


def _product(adapter: Adapter) -> str:
    try:
        with open(f"{SYSFS}/{adapter.place}/product", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:  # not Linux, or it has none
        return ""
