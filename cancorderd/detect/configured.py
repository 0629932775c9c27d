"""What the configuration makes of adapters that were found: keys that it takes, buses that it has already.

Pure but for the paths of serial ports, of which one device has several.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cancorderd.config.clashes import clashes
from cancorderd.config.interfaces import section_of
from cancorderd.config.model import SlcanBus
from cancorderd.config.sentences import findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import BusBase
    from cancorderd.detect.found import Found

_NAME = "found"
_RATES = {"bitrate", "data_bitrate"}


def sound(found: Found) -> Found:
    """The same, less rates that its bus could not have; without any keys where more than that is wrong."""
    section = section_of(found.interface)
    if found.keys is None:
        return found
    if section is None:
        return found._replace(keys=None)
    fixed = {"name": _NAME, "interface": found.interface}
    wrong = {each.keys[0] for each in findings(section, {**fixed, **found.keys})}
    keys = {key: value for key, value in found.keys.items() if key not in wrong & _RATES}
    return found._replace(keys=None if findings(section, {**fixed, **keys}) else keys)


def _is_port(bus: SlcanBus, place: str, serial: str | None) -> bool:
    if bus.channel is None:
        return bus.serial == serial
    return os.path.realpath(bus.channel) == place


def bus_of(found: Found, buses: Sequence[BusBase]) -> str | None:
    """The name of the enabled bus that names this adapter, or None. A bus that searches names none."""
    enabled = [bus for bus in buses if bus.enabled]
    if found.interface == "slcan":
        place = os.path.realpath(found.channel)
        ports = [bus for bus in enabled if isinstance(bus, SlcanBus)]
        return next((bus.name for bus in ports if _is_port(bus, place, found.serial)), None)
    section = section_of(found.interface)
    if section is None or found.keys is None:
        return None
    name = next(
        name for name in (_NAME, *map(str, range(len(buses)))) if all(bus.name != name for bus in buses)
    )
    bus = section.model_validate({"name": name, **found.table})
    told = clashes([*enabled, bus])
    return next((each.first for each in told if each.second == name and each.key == "channel"), None)
