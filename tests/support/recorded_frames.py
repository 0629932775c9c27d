"""Frames to record: any that the protocol can carry, and numbered ones."""

from __future__ import annotations

from hypothesis import strategies as st

from cancorderd.protocol.frame import (
    BRS,
    DLC_LENGTHS,
    ESI,
    EXTENDED,
    FD,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    Frame,
)

START_US = 1_795_365_990_005_321

_CLASSIC = st.binary(max_size=8)
_FD = st.sampled_from(DLC_LENGTHS).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@st.composite
def _frame(draw: st.DrawFn) -> Frame:
    flags = draw(st.sampled_from([0, FD, FD | BRS, FD | ESI, FD | BRS | ESI]))
    extended = draw(st.booleans())
    arbitration_id = draw(st.integers(0, MAX_EXTENDED_ID if extended else MAX_STANDARD_ID))
    return Frame(
        draw(st.integers(0, 2_000_000)),
        arbitration_id,
        flags | (EXTENDED if extended else 0),
        draw(_FD if flags else _CLASSIC),
    )


@st.composite
def frames(draw: st.DrawFn) -> list[Frame]:
    """At least one frame; the times are of this decade and never go back."""
    timestamp_us = draw(st.integers(1_700_000_000_000_000, 2_000_000_000_000_000))
    found = []
    for frame in draw(st.lists(_frame(), min_size=1, max_size=30)):
        timestamp_us += frame.timestamp_us
        found.append(frame._replace(timestamp_us=timestamp_us))
    return found


def numbered_frames(first: int, count: int) -> list[Frame]:
    """Frames 100 µs apart, with consecutive numbers as their data."""
    return [
        Frame(START_US + number * 100, 0x123, 0, number.to_bytes(8)) for number in range(first, first + count)
    ]
