"""Names of python-can's interfaces. python-can is not imported: it costs memory that the supervisor saves."""

from __future__ import annotations

from importlib.metadata import entry_points

INTERFACES = (
    *("canalystii", "cantact", "etas", "iscan", "ixxat", "kvaser", "neousys", "neovi"),
    *("nican", "nixnet", "pcan", "robotell", "seeedstudio", "serial", "socketcand", "systec"),
    *("udp_multicast", "usb2can", "vector", "virtual"),
)
"""Interfaces that python-can 4.6 brings and that have no adapter here. A test compares them with the library."""


def plugins() -> tuple[str, ...]:
    """Return the interfaces that other installed packages add to python-can. Reading them takes milliseconds."""
    return tuple(entry.name for entry in entry_points(group="can.interface"))
