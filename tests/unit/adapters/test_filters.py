"""Acceptance filters for sources that filter by themselves."""

from __future__ import annotations

import pytest

from cancorderd.adapters.filters import acceptance
from cancorderd.config.bus_settings import Filter

STANDARD, EXTENDED = False, True


@pytest.mark.parametrize(
    ("filters", "accepted", "refused"),
    [
        ([], [(0, STANDARD), (0x7FF, STANDARD), (0x1FFF_FFFF, EXTENDED)], []),
        (
            [Filter(id=0x123, mask=0x7FF)],
            [(0x123, STANDARD), (0x123, EXTENDED), (0x1234_5123, EXTENDED)],
            [(0x122, STANDARD), (0x124, STANDARD)],
        ),
        ([Filter(id=0x123, mask=0x7F0)], [(0x120, STANDARD), (0x12F, STANDARD)], [(0x130, STANDARD)]),
        ([Filter(id=0x123, mask=0x7FF, extended=False)], [(0x123, STANDARD)], [(0x123, EXTENDED)]),
        ([Filter(id=0x123, mask=0x7FF, extended=True)], [(0x123, EXTENDED)], [(0x123, STANDARD)]),
        (
            [Filter(id=0x100, mask=0x7FF, extended=False), Filter(id=0x200, mask=0x7FF)],
            [(0x100, STANDARD), (0x200, STANDARD), (0x200, EXTENDED)],
            [(0x100, EXTENDED), (0x300, STANDARD)],
        ),
        ([Filter(id=0x123, mask=0)], [(0, STANDARD), (0x1FFF_FFFF, EXTENDED)], []),
    ],
)
def test_frame_is_accepted_if_any_filter_matches(
    filters: list[Filter], accepted: list[tuple[int, bool]], refused: list[tuple[int, bool]]
) -> None:
    accepts = acceptance(filters)
    assert [frame for frame in accepted if not accepts(*frame)] == []
    assert [frame for frame in refused if accepts(*frame)] == []
