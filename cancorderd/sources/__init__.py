"""Adapters: one module per interface, each loaded by the one worker that needs it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from cancorderd.sources.base import Source, Watch

_MODULES = {
    "auto": "auto",
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
    source: Source = _module(section).open_source(section)
    return source


def open_watch(section: Any) -> Watch | None:
    """What notices that the bus of `section`, now absent, may be there; None where nothing can. Raises OSError."""
    module = _module(section)
    if not hasattr(module, "open_watch"):
        return None
    watch: Watch = module.open_watch(section)
    return watch


def _module(section: Any) -> ModuleType:
    return importlib.import_module(f"cancorderd.sources.{_MODULES.get(section.interface, 'python_can')}")
