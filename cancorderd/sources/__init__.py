"""Adapters: one module per interface, each loaded by the one worker that needs it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cancorderd.sources.base import Source

_MODULES = {
    "gs_usb": "gs_usb",
    "mock": "mock",
    "replay": "replay",
    "slcan": "slcan",
    "socketcan": "socketcan",
    "toucan": "toucan",
}
"""Interfaces with a source of their own; every other name goes through python-can."""


def open_source(section: Any) -> Source:
    """Open the bus that `section` (a section of `config.model`) describes.

    Raises AdapterAbsent, SettingsRefused or BusError.
    """
    module = importlib.import_module(f"cancorderd.sources.{_MODULES.get(section.interface, 'python_can')}")
    source: Source = module.open_source(section)
    return source
