"""What two buses cannot share: a port, an adapter, a name on the network. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.config.checks import overlap
from cancorderd.config.model import AutoBus, GsUsbBus, MockBus, PythonCanBus, ReplayBus
from cancorderd.config.problem import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import BusBase


class Clash(NamedTuple):
    """What bus `second` wants in `key` belongs to `first` already. `what` ends with the first's name."""

    first: str
    second: str
    key: str
    what: str
    remedy: str


def clashes(buses: Sequence[BusBase]) -> list[Clash]:
    """Each clash of a bus with the first bus that has what it wants. Disabled buses take no part."""
    running = [bus for bus in buses if bus.enabled]
    found = []
    for at, second in enumerate(running):
        seen = set()
        for first in running[:at]:
            for clash in _between(first, second):
                if clash.key not in seen:
                    seen.add(clash.key)
                    found.append(clash)
    return found


def named_adapters(buses: Sequence[BusBase]) -> tuple[str, ...]:
    """Interface and channel or serial number of each adapter that an enabled bus names: a bus with interface "auto" leaves them alone.

    A gs_usb bus without a serial number may mean any of them: its interface stands alone.
    """
    named = set()
    for bus in buses:
        if bus.enabled and _adapter(bus) is not None:
            serial = getattr(bus, "serial", None)
            which = serial if bus.interface == "gs_usb" or bus.channel is None else bus.channel
            named.add(bus.interface if which is None else f"{bus.interface} {which}")
    return tuple(sorted(named))


def _between(first: BusBase, second: BusBase) -> list[Clash]:
    found = []

    def add(key: str, what: str, remedy: str) -> None:
        value = written(getattr(second, key))
        found.append(Clash(first.name, second.name, key, f"{value} {what} bus.{first.name}", remedy))

    same_port = first.port is not None and first.port == second.port
    if same_port and any(overlap(a, b) for a in first.listen for b in second.listen):
        add("port", "is also the port of", "Use another, or leave the key out for an automatic one.")
    if (adapter := _adapter(second)) is not None and adapter == _adapter(first):
        add("channel", "is also the channel of", "Use another, or write enabled = false in one of the two.")
    if (name := _announced(second)) is not None and name == _announced(first):
        add("service_name", "is also the name of", "Use another, or leave the key out for the default one.")
    return found


def _adapter(bus: BusBase) -> tuple[str, str, str] | None:
    """What tells one adapter from another; None where any number of buses can have the same."""
    if isinstance(bus, MockBus | ReplayBus | AutoBus):
        return None
    if isinstance(bus, GsUsbBus):  # one process holds all channels of an adapter
        place = f"{bus.bus}:{bus.address}" if bus.bus or bus.address else str(bus.index or 0)
        return bus.interface, bus.serial or place, ""
    # Interfaces of python-can may tell adapters apart by an option alone, such as a serial number.
    options = json.dumps(bus.options, sort_keys=True, default=str) if isinstance(bus, PythonCanBus) else ""
    # Adapters on USB may be named by their serial number in place of a channel.
    which = getattr(bus, "serial", None) if bus.channel is None else bus.channel
    return bus.interface, str(which), options


def _announced(bus: BusBase) -> str | None:
    """The name on the network, where DNS does not tell upper case from lower."""
    return bus.service_name.lower() if bus.zeroconf and bus.service_name else None
