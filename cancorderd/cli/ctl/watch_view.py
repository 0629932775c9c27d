"""What the keys of `cancorderctl status --watch` change: order, selected bus, help, a restart. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from cancorderd.cli.ctl import bus_table
from cancorderd.control.protocol import all_is_well

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cancorderd.control.protocol import BusStatus

Action: TypeAlias = Literal["", "quit", "restart"]
"""What the program has to do after a key: nothing, end, restart the selected bus."""

HELP = (
    "q, Ctrl+C      quit",
    "j, k, arrows   select a bus; the list scrolls with it",
    "g, G           select the first, the last bus",
    "s              change the order: as configured, by name, by what is wrong, frames/s, load, clients, lost",
    "r              restart the selected bus, after a question",
    "?              close this help",
)

_KEYS = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|.", re.DOTALL)
"""Keys that arrive at once: cursor keys are sequences (ECMA-48, 5.4), in application mode with O (xterm)."""
_STEPS = {
    "j": 1, "\x1b[B": 1, "\x1bOB": 1, "\x1b[6~": 10, "k": -1, "\x1b[A": -1, "\x1bOA": -1, "\x1b[5~": -10,
}  # fmt: skip


def _rate(bus: BusStatus) -> float:
    return -bus["frames"]["per_second"]


_ORDERS: dict[str, Callable[[BusStatus], object]] = {
    "name": lambda bus: bus["name"],
    "what is wrong": all_is_well,
    "frames/s": _rate,
    "load": lambda bus: -bus["load"],
    "clients": lambda bus: -len(bus["clients"]),
    "lost": lambda bus: -bus_table.frames_lost(bus),
}
"""Orders by name, after that of the configuration."""


class View(NamedTuple):
    """The reader's choices."""

    order: str = ""
    """One of _ORDERS; empty: as configured."""
    selected: str = ""
    """Name of the selected bus; empty without one."""
    help: bool = False
    asking: bool = False
    """Whether the restart of the selected bus is to be confirmed."""
    note: str = ""
    """Outcome of the last request, until the next key."""

    def pressed(self, keys: str, names: Sequence[str]) -> tuple[View, Action]:
        """Return the view after these keys, and what is to be done; `names` are the buses in the order shown."""
        view, action = self, ""
        for key in _KEYS.findall(keys):
            view, action = view._pressed(key, names)
            if action:
                return view, action
        return view, ""

    def ordered(self, buses: list[BusStatus]) -> list[BusStatus]:
        return sorted(buses, key=_ORDERS[self.order]) if self.order else buses  # type: ignore[arg-type]

    def _pressed(self, key: str, names: Sequence[str]) -> tuple[View, Action]:
        view = self._replace(note="", asking=False)
        if self.asking:
            return view, "restart" if key in "yY" else ""
        if key in "qQ":
            return view, "quit"
        if key == "?":
            return view._replace(help=not self.help), ""
        if key == "s":
            orders = ("", *_ORDERS)
            return view._replace(order=orders[(orders.index(self.order) + 1) % len(orders)]), ""
        if key in _STEPS or key in "gG":
            return view._replace(selected=self._after_step(key, names)), ""
        if key == "r":
            if self.selected in names:
                return view._replace(asking=True), ""
            return view._replace(note="Select a bus first: j, k or the arrow keys"), ""
        return view, ""

    def _after_step(self, key: str, names: Sequence[str]) -> str:
        if not names:
            return ""
        if key in "gG":
            return names[0 if key == "g" else -1]
        if self.selected not in names:
            return names[0]
        at = names.index(self.selected) + _STEPS[key]
        return names[max(0, min(len(names) - 1, at))]
