"""Frames to be recorded: any that the wire can carry, at times that go on."""

from __future__ import annotations

from hypothesis import strategies as st

from cancorderd.frame import BRS, DLC_LENGTHS, ESI, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID, Frame

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
    """At least one; their times, from this decade, never go back."""
    at = draw(st.integers(1_700_000_000_000_000, 2_000_000_000_000_000))
    found = []
    for one in draw(st.lists(_frame(), min_size=1, max_size=30)):
        at += one.timestamp_us
        found.append(one._replace(timestamp_us=at))
    return found
