"""Detected adapters in the light of the configuration: their valid keys, and the buses that use them already.

Pure, except for resolving the paths of serial ports, of which a device has several.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cancorderd.adapters import registry
from cancorderd.adapters.gs_usb.settings import GsUsbSettings
from cancorderd.adapters.slcan.settings import SlcanSettings
from cancorderd.config.conflicts import conflicts
from cancorderd.config.validation import validated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.adapters.scan import FoundAdapter
    from cancorderd.config.bus_settings import BusSettings

_NAME = "found"
_RATES = {"bitrate", "data_bitrate"}


def usable(found: FoundAdapter) -> FoundAdapter:
    """Return the adapter without bitrates that its bus cannot have, and without any keys if others are invalid."""
    kind = registry.settings_class(found.interface)
    if found.keys is None:
        return found
    if kind is None:
        return found._replace(keys=None)
    fixed = {"name": _NAME, "interface": found.interface}
    wrong = {finding.keys[0] for finding in validated(kind, {**fixed, **found.keys}).findings}
    keys = {key: value for key, value in found.keys.items() if key not in wrong & _RATES}
    return found._replace(keys=None if validated(kind, {**fixed, **keys}).findings else keys)


def _is_port(bus: SlcanSettings, place: str, serial: str | None) -> bool:
    if bus.channel is None:
        return bus.serial == serial
    return os.path.realpath(bus.channel) == place


def _is_usb_adapter(bus: GsUsbSettings, found: FoundAdapter) -> bool:
    """Return whether a bus names a gs_usb adapter. A serial number that several adapters have names none."""
    if bus.usb_port is not None:
        return bus.usb_port == found.usb_port
    return bus.serial is not None and bus.serial == found.serial and "serial" in (found.keys or ())


def bus_of(found: FoundAdapter, buses: Sequence[BusSettings]) -> str | None:
    """Return the name of the enabled bus that names this adapter, or None. A bus with automatic search names none."""
    enabled = [bus for bus in buses if bus.enabled]
    if found.interface == "slcan":
        place = os.path.realpath(found.channel)
        ports = [bus for bus in enabled if isinstance(bus, SlcanSettings)]
        return next((bus.name for bus in ports if _is_port(bus, place, found.serial)), None)
    kind = registry.settings_class(found.interface)
    if kind is None or found.keys is None:
        return None
    for bus in enabled:
        if isinstance(bus, GsUsbSettings) and _is_usb_adapter(bus, found):
            return bus.name
    name = next(
        name for name in (_NAME, *map(str, range(len(buses)))) if all(bus.name != name for bus in buses)
    )
    settings = validated(kind, {"name": name, **found.table}).settings
    shared = conflicts([*enabled, settings]) if settings else []
    # A detected adapter has neither a port nor a name on the network: its conflicts are about the adapter.
    return next((conflict.first for conflict in shared if conflict.second == name), None)
