from __future__ import annotations

import pytest

from cancorderd.protocol.audience_mark import AUDIENCE
from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE, Frame


@pytest.mark.parametrize("flags", [0, EXTENDED, FD, FD | BRS, FD | ESI, EXTENDED | FD | BRS | ESI])
def test_flags_by_name(flags: int) -> None:
    frame = Frame(1_500_000, 1, flags)
    named = (frame.is_extended, frame.is_fd, frame.bitrate_switch, frame.error_state_indicator)
    expected = tuple(bool(flags & bit) for bit in (EXTENDED, FD, BRS, ESI))
    assert named == expected
    assert all(isinstance(flag, bool) for flag in named)
    assert frame.timestamp_s == 1.5


def test_mark_of_the_audience_has_a_flag_that_no_frame_has() -> None:
    assert not AUDIENCE & (EXTENDED | FD | BRS | ESI | REMOTE | ERROR)


def test_a_frame_without_data_is_empty_and_classic() -> None:
    assert Frame(7, 0x123) == (7, 0x123, 0, b"")
