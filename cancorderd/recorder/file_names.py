"""Names of recordings, their order, and the choice of those to remove. Pure.

A running number in the name is the order, since a clock can be wrong; the time is for people. Files without a number
are from earlier versions, and so older.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_REST = re.compile(
    r"-(?:(?P<number>\d{6,18})-)?(?P<stamp>\d{8}T\d{6}Z)(?:-(?P<suffix>\d{1,18}))?\.(?:log|asc|blf|mf4)"
)
"""The part of a name that follows the bus."""
_LIKE_A_NUMBER = re.compile(r".*-\d{6,18}", re.DOTALL)


class Recording(NamedTuple):
    """A file of a bus, ordered by age: the oldest first."""

    number: int
    """Running number; 0 if the name has none."""
    stamp: str
    suffix: int
    """Number among files of the same second, in names without a running number."""
    name: str


def file_name(bus: str, number: int, begin: datetime, file_format: str) -> str:
    """Return the name of the file with this running number, which begins at `begin` (UTC)."""
    return f"{bus}-{number:06d}-{begin:%Y%m%dT%H%M%SZ}.{file_format}"


def recordings(names: Iterable[str], bus: str) -> list[Recording]:
    """Return the recordings of `bus` among `names`, of any format, oldest first.

    A name without a number is left out if the bus's own name ends like one: a bus "a" has the same names.
    """
    found = []
    for name in names:
        match = _REST.fullmatch(name, len(bus)) if name.startswith(bus) else None
        if match is None or (match["number"] and match["suffix"]):
            continue
        if match["number"] is None and _LIKE_A_NUMBER.fullmatch(bus):
            continue
        found.append(Recording(int(match["number"] or 0), match["stamp"], int(match["suffix"] or 1), name))
    return sorted(found)


def surplus_files(sizes: Iterable[tuple[str, int]], current_bytes: int, max_bytes: int) -> list[str]:
    """Return the names to remove so that at most `max_bytes` remain, together with the current file's bytes.

    `sizes` are the other files of the bus and their bytes, oldest first. 0 bytes: no limit.
    """
    if not max_bytes:
        return []
    files = list(sizes)
    total = current_bytes + sum(size for _, size in files)
    surplus = []
    for name, size in files:
        if total <= max_bytes:
            break
        surplus.append(name)
        total -= size
    return surplus
