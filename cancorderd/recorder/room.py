"""How much room recording leaves on a disk: whatever else writes there must go on. Pure; sizes are bytes."""

from __future__ import annotations

_RESERVE_SHARE = 50
"""One part in so many of the disk stays free,"""
_LARGEST_RESERVE = 100_000_000
"""but no more than this."""


def reserve(total: int) -> int:
    """What stays free on a disk of this size."""
    return min(_LARGEST_RESERVE, total // _RESERVE_SHARE)


def goes_on(total: int, free: int, owed: int) -> bool:
    """Whether a recording may go on that will take `owed` more to be closed."""
    return free - owed >= reserve(total)


def begins_again(total: int, free: int) -> bool:
    """Whether one that stopped may begin again: with twice the reserve, so that it does not stop at once."""
    return free >= 2 * reserve(total)
