"""The effect of a reload on each bus. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.config.schema import key_name, values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.schema import Settings

_SUPERVISOR_KEYS = frozenset({"enabled", "zeroconf", "service_name", "watchdog", "database", "forward"})
"""Keys that only the supervisor uses: if no other key changes, the worker and its clients stay."""


class ChangeKind(enum.StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    ENABLED = "enabled"
    DISABLED = "disabled"
    RESTARTED = "restarted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Change(NamedTuple):
    """Effect of a reload on a bus, and the keys whose values differ."""

    bus: str
    kind: ChangeKind
    keys: list[str]


def find_changes(
    before: Mapping[str, BusSettings], after: Mapping[str, BusSettings], displaced: Collection[str] = ()
) -> list[Change]:
    """Return a change for every bus, in the order of `after`; removed buses come last.

    `displaced` are buses whose automatic port becomes the configured port of another.
    """
    found = []
    for name, settings in after.items():
        old = before.get(name)
        if old is None:
            found.append(Change(name, ChangeKind.ADDED, []))
            continue
        keys = differing_keys(old, settings)
        if name in displaced:
            keys = sorted({*keys, "port"})
        found.append(Change(name, _kind(old, settings, keys), keys))
    found += [Change(name, ChangeKind.REMOVED, []) for name in before if name not in after]
    return found


def differing_keys(old: Settings, new: Settings) -> list[str]:
    """Return the names of the keys whose values differ, sorted."""
    old_values, new_values = values(old), values(new)
    names = old_values.keys() | new_values.keys()
    return sorted(key_name(name) for name in names if old_values.get(name) != new_values.get(name))


def table_change(table: str, old: Settings | None, new: Settings | None) -> str:
    """Return the effect of a reload on a table such as [forward], in words; "" if there is none."""
    if old == new:
        return ""
    if old is None or new is None:
        return f"[{table}]: {ChangeKind.REMOVED if new is None else ChangeKind.ADDED}"
    return f"[{table}]: {ChangeKind.UPDATED} ({', '.join(differing_keys(old, new))})"


def needs_new_worker(old: BusSettings, new: BusSettings) -> bool:
    """Return whether a worker that runs with the old settings has to be replaced."""
    return not _SUPERVISOR_KEYS.issuperset(differing_keys(old, new))


def _kind(old: BusSettings, new: BusSettings, keys: list[str]) -> ChangeKind:
    if not keys:
        return ChangeKind.UNCHANGED
    if old.enabled != new.enabled:
        return ChangeKind.ENABLED if new.enabled else ChangeKind.DISABLED
    if not new.enabled or _SUPERVISOR_KEYS.issuperset(keys):
        return ChangeKind.UPDATED
    return ChangeKind.RESTARTED
