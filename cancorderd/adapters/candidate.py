"""An adapter that a bus with interface "auto" may open. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Candidate(NamedTuple):
    """An adapter of `interface`, and the key of the settings that selects it."""

    interface: str
    name: str
    """Path, serial number or place, as users know the adapter."""
    key: str
    value: str | int
    serial: str | None = None
    usb_port: str | None = None

    def __str__(self) -> str:
        return f"{self.interface} {self.name}"
