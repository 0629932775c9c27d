"""Which arbitration ids a bus lets through, for sources whose adapter or driver does not filter. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cancorderd.config.model import Filter


def acceptance(filters: Sequence[Filter]) -> Callable[[int, bool], bool]:
    """A test of (arbitration id, extended): true where any filter matches, or where there is none.

    A filter matches where `arbitration_id & mask == id & mask`, as SocketCAN's do
    (linux/can.h, struct can_filter); `extended` None matches both kinds.
    """
    if not filters:
        return lambda _arbitration_id, _extended: True
    rules = [(one.id & one.mask, one.mask, one.extended) for one in filters]

    def accepts(arbitration_id: int, extended: bool) -> bool:
        return any(
            arbitration_id & mask == wanted and kind in (None, extended) for wanted, mask, kind in rules
        )

    return accepts
