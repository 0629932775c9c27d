"""The one line that `systemctl status` shows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cancorderd.control.protocol import GOOD_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED = 3
"""Buses whose trouble is told; the others are counted."""
_LONGEST_REASON = 100


def status_line(buses: Sequence[dict[str, Any]]) -> str:
    """Such as "3 of 4 buses running; body: waiting: there is no /dev/ttyACM0", from `GET /v1/status`."""
    if not buses:
        return "no buses: the configuration has no [bus.NAME] table"
    running = sum(bus["state"] == "running" for bus in buses)
    noun = "bus" if len(buses) == 1 else "buses"
    troubled = [bus for bus in buses if bus["state"] not in GOOD_STATES]
    parts = [f"{running} of {len(buses)} {noun} running", *map(_trouble, troubled[:_NAMED])]
    if len(troubled) > _NAMED:
        parts.append(f"{len(troubled) - _NAMED} more")
    return "; ".join(parts)


def _trouble(bus: dict[str, Any]) -> str:
    # The fact; its remedy is in `cancorderctl status`.
    fact = " ".join(bus["reason"].split()).partition(". ")[0].rstrip(".")
    if len(fact) > _LONGEST_REASON:
        fact = f"{fact[: _LONGEST_REASON - 3]}..."
    return f"{bus['name']}: {bus['state']}{f': {fact}' if fact else ''}"
