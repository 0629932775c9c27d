"""Acceptance filters for sources whose adapter or driver does not filter. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cancorderd.config.bus_settings import Filter


def acceptance(filters: Sequence[Filter]) -> Callable[[int, bool], bool]:
    """Return a test of (arbitration id, extended): true if any filter matches, or if there is no filter.

    A filter matches if `arbitration_id & mask == id & mask`, as in SocketCAN (linux/can.h, struct can_filter);
    `extended` None matches both kinds of id.
    """
    if not filters:
        return lambda _arbitration_id, _extended: True
    rules = [(rule.id & rule.mask, rule.mask, rule.extended) for rule in filters]

    def accepts(arbitration_id: int, extended: bool) -> bool:
        return any(
            arbitration_id & mask == wanted and kind in (None, extended) for wanted, mask, kind in rules
        )

    return accepts
