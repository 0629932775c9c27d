"""Which names `interface` can have, and which section stands for each.

Asks the installed packages for their entry points where a name is not known otherwise, and imports
none of them: python-can costs memory that the supervisor should not spend.
"""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points

from cancorderd.config.model import OWN_SECTIONS, BusBase, PythonCanBus

PYTHON_CAN_INTERFACES = (
    *("canalystii", "cantact", "etas", "iscan", "ixxat", "kvaser", "neousys", "neovi"),
    *("nican", "nixnet", "pcan", "robotell", "seeedstudio", "serial", "socketcand", "systec"),
    *("udp_multicast", "usb2can", "vector", "virtual"),
)
"""What python-can 4.6 brings, less what has a source here. A test compares it with the library."""

SECTIONS: tuple[type[BusBase], ...] = (*OWN_SECTIONS.values(), PythonCanBus)
"""Every kind of bus. Where a key is in several, it means the same in all of them."""


def section_of(interface: str) -> type[BusBase] | None:
    """The section of a bus with this interface, or None where there is no such interface."""
    if own := OWN_SECTIONS.get(interface):
        return own
    return PythonCanBus if interface in PYTHON_CAN_INTERFACES or interface in _plugins() else None


def refusal(interface: str) -> tuple[str, str]:
    """What is wrong with an interface that has no section, and the remedy."""
    what = f'there is no interface "{interface}"'
    names = (*OWN_SECTIONS, *PYTHON_CAN_INTERFACES, *_plugins())
    if near := difflib.get_close_matches(interface.lower(), names, n=1):
        return what, f'Write "{near[0]}", or install the package that brings this interface to python-can.'
    own = ", ".join(f'"{name}"' for name in OWN_SECTIONS)
    return what, f'Write {own} or an interface of python-can such as "pcan" or "kvaser".'


def _plugins() -> tuple[str, ...]:
    """Interfaces that other packages add to python-can."""
    return tuple(entry.name for entry in entry_points(group="can.interface"))
