"""The contract of a scan, which finds the adapters of an interface for `cancorderctl detect`. Pure.

Each adapter folder has a function `scan(options) -> ScanResult` in its `scan` module, and a row in `registry` that
names it; `detection` calls them all. A scan may open devices only to ask for their version, and only if
`options.probe` allows it. It raises OSError, ImportError or a BusFailure if it cannot look at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ScanOptions(NamedTuple):
    """How thorough a scan is."""

    probe: Sequence[str] | None = None
    """Paths of serial ports to ask for their version, besides those on USB; None: ask none at all."""
    software: bool = False
    """Include interfaces of python-can that need no hardware."""


class FoundAdapter(NamedTuple):
    """An adapter, or a channel of it."""

    interface: str
    channel: str
    """The name that people know it by; `keys` holds what its bus needs."""
    adapter: str
    """Maker and product in words."""
    state: str
    keys: Mapping[str, Any] | None
    """The keys of its table [bus.NAME] besides `interface`; None if it cannot be a bus as it is now."""
    remedy: str = ""
    """How to make it ready, if it is not."""
    serial: str | None = None
    """Serial number, by which a bus may name it in place of its channel."""
    usb_port: str | None = None
    """USB socket, by which a bus may name it."""

    @property
    def table(self) -> dict[str, Any]:
        """The table [bus.NAME] of its bus."""
        return {"interface": self.interface, **(self.keys or {})}


class ScanResult(NamedTuple):
    """The adapters that were found, and notes about places that could not be searched."""

    found: list[FoundAdapter]
    notes: list[str] = []  # noqa: RUF012 - a default of NamedTuple is shared, but nothing changes it
