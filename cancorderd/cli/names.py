"""Names of buses, as users write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence


def chosen(buses: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The buses with these names, or all where none is named. Raises ControlError for unknown ones."""
    by_name = {bus["name"]: bus for bus in buses}
    for name in names:
        if name not in by_name:
            raise ControlError(unknown(name, list(by_name)), Exit.FAILED)
    return [by_name[name] for name in names] or buses


def unknown(name: str, known: Sequence[str]) -> str:
    """What to say of a name that no bus has: the nearest that one has, and which there are."""
    import difflib  # noqa: PLC0415 - only where somebody has mistyped

    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no bus {name}.{hint} Buses: {', '.join(known) or 'none'}."
