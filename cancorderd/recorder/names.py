"""What recordings are called, and which of them go when there are too many. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_NAME = re.compile(r"(?P<bus>.+)-(?P<stamp>\d{8}T\d{6}Z)(?:-(?P<turn>\d+))?\.(?:log|asc|blf|mf4)")


def name_of(bus: str, moment: datetime, kind: str, turn: int) -> str:
    """The name of a file that begins at `moment` (UTC); `turn` counts from 1 where several begin in a second."""
    more = f"-{turn}" if turn > 1 else ""
    return f"{bus}-{moment:%Y%m%dT%H%M%SZ}{more}.{kind}"


def too_many(names: Iterable[str], bus: str, keep: int, current: str) -> list[str]:
    """The recordings of `bus` to remove, oldest first, so that `keep` stay with the current one; 0 keeps all.

    Nothing but what `name_of` makes for this bus is ever among them, whatever its format.
    """
    if not keep:
        return []
    ours = [found for name in names if name != current and (found := _NAME.fullmatch(name))]
    mine = sorted((one["stamp"], int(one["turn"] or 1), one.string) for one in ours if one["bus"] == bus)
    return [name for _, _, name in mine[: max(0, len(mine) - keep + 1)]]
