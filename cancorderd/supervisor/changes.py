"""What a reload changes, bus by bus. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cancorderd.config.model import BusBase

_ANNOUNCED_ONLY = frozenset({"zeroconf", "service_name", "watchdog"})
"""Keys that the supervisor acts on: the worker and its clients stay."""


class Kind(enum.StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    ENABLED = "enabled"
    DISABLED = "disabled"
    RESTARTED = "restarted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Change(NamedTuple):
    """One bus's change, and the keys whose values differ."""

    bus: str
    kind: Kind
    keys: list[str]


def changes(before: Mapping[str, BusBase], after: Mapping[str, BusBase]) -> list[Change]:
    """What turns the buses `before` into those `after`, in the order of the files, removed ones last."""
    found = []
    for name, section in after.items():
        old = before.get(name)
        if old is None:
            found.append(Change(name, Kind.ADDED, []))
            continue
        keys = differing_keys(old, section)
        found.append(Change(name, _kind(old, section, keys), keys))
    found += [Change(name, Kind.REMOVED, []) for name in before if name not in after]
    return found


def differing_keys(old: BusBase, new: BusBase) -> list[str]:
    """The keys whose values differ, by name."""
    was, now = old.model_dump(), new.model_dump()
    return sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))


def _kind(old: BusBase, new: BusBase, keys: list[str]) -> Kind:
    if not keys:
        return Kind.UNCHANGED
    if old.enabled != new.enabled:
        return Kind.ENABLED if new.enabled else Kind.DISABLED
    if not new.enabled or set(keys) <= _ANNOUNCED_ONLY:
        return Kind.UPDATED
    return Kind.RESTARTED
