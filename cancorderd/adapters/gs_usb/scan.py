"""gs_usb: USB adapters with candleLight firmware and its kin, and whether a bus can have them.

`found_adapter` is pure; `scan` asks libusb and, on Linux, sysfs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.adapters import sysfs
from cancorderd.adapters.candidate import Candidate
from cancorderd.adapters.gs_usb.usb_devices import adapters, forbidden_adapter_reason, repeated_serials
from cancorderd.adapters.scan import FoundAdapter, ScanResult

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cancorderd.adapters.gs_usb.usb_devices import UsbAdapter
    from cancorderd.adapters.scan import ScanOptions


class Holder(NamedTuple):
    """Obstacles between an adapter and a bus."""

    links: tuple[str, ...] = ()
    """Interfaces of the kernel's driver that holds it, such as can0."""
    forbidden: bool = False
    """This user may not open it."""


def scan(_options: ScanOptions) -> ScanResult:
    """Find every gs_usb adapter. Raises SettingsRefused without libusb, BusError if it does not work."""
    listed = adapters()
    repeated = repeated_serials(listed)
    found = []
    for index, adapter in enumerate(listed):
        product = sysfs.usb_attribute(adapter.place, "product")
        by_place = adapter.serial in repeated
        found.append(found_adapter(adapter, index, product, _holder(adapter), by_place=by_place))
    return ScanResult(found)


def found_adapter(
    adapter: UsbAdapter, index: int, product: str, holder: Holder, *, by_place: bool = False
) -> FoundAdapter:
    """Return an adapter as a scan reports it. `index` is its position among all of them.

    `by_place`: others have the same serial number, or none either, so that only its socket distinguishes it.
    """
    name = (
        f"{product or 'gs_usb adapter'} (USB {adapter.vendor:04x}:{adapter.product:04x}, at {adapter.place})"
    )
    keys: dict[str, Any] | None = {"serial": adapter.serial} if adapter.serial else {"index": index}
    channel = adapter.serial or f"index {index}"
    if by_place and adapter.ports:
        keys = {"usb_port": adapter.place}
        channel = adapter.place
    state, remedy = "ready", ""
    if holder.links:
        state = f"held by the kernel as {', '.join(holder.links)}"
        remedy = f'use interface = "socketcan", channel = "{holder.links[0]}"'
        keys = None
    elif holder.forbidden:
        state, remedy = "no permission", forbidden_adapter_reason(adapter)
    return FoundAdapter("gs_usb", channel, name, state, keys, remedy, adapter.serial, adapter.place)


def _holder(adapter: UsbAdapter) -> Holder:
    links = sysfs.usb_network_interfaces(adapter.place)
    forbidden = os.path.exists(adapter.node) and not os.access(adapter.node, os.R_OK | os.W_OK)
    return Holder(tuple(links), forbidden)


def candidates(adapters: Sequence[UsbAdapter]) -> list[Candidate]:
    """Return the adapters for a bus that searches.

    Each is selected by its serial number if no other has it, by its socket if another has, or by its index among all.
    """
    repeated = repeated_serials(adapters)
    return [_candidate(adapter, index, repeated) for index, adapter in enumerate(adapters)]


def _candidate(adapter: UsbAdapter, index: int, repeated: Collection[str | None]) -> Candidate:
    serial, place = adapter.serial, adapter.place
    if adapter.serial in repeated and adapter.ports:
        return Candidate("gs_usb", place, "usb_port", place, serial, place)
    if serial:
        return Candidate("gs_usb", serial, "serial", serial, serial, place)
    return Candidate("gs_usb", place, "index", index, serial, place)
