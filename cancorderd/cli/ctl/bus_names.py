"""Names of buses in the arguments of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.control.protocol import BusStatus


def select_buses(buses: list[BusStatus], names: Sequence[str]) -> list[BusStatus]:
    """Return the buses with these names, or all if `names` is empty. Raises ControlError for an unknown name."""
    by_name = {bus["name"]: bus for bus in buses}
    for name in names:
        if name not in by_name:
            raise ControlError(unknown_bus(name, list(by_name)), Exit.FAILED)
    return [by_name[name] for name in names] or buses


def unknown_bus(name: str, known: Sequence[str]) -> str:
    """Return the sentences about a bus that does not exist."""
    import difflib  # only needed after a typing error

    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no bus {name}.{hint} Buses: {', '.join(known) or 'none'}."
