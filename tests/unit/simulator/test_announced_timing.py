"""Times between frames against those that the frames announce: STmin (ISO 15765-2), P2 and P2* (ISO 14229-2)."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cancorderd.protocol.frame import Frame
from cancorderd.simulator.options import Options
from tests.unit.simulator.simulation_runs import drive

TESTER, ECU, ALL = 0x7E0, 0x7E8, 0x7DF
P2_US, P2_STAR_US = 50_000, 5_000_000


class Flagged(NamedTuple):
    """Deviations that a decoder with a clock finds."""

    close_consecutive: int
    late_responses: int
    close_pending: int


def flagged(frames: list[Frame]) -> Flagged:
    st_min_us = {TESTER: 0, ECU: 0}
    last_us: dict[int, int] = {}  # of consecutive frames alone
    request_us = pending_us = None
    close = late = close_pending = 0
    for stamp_us, can_id, _, data in frames:
        if can_id not in (TESTER, ECU, ALL):
            continue
        kind = data[0] >> 4
        if kind == 3:  # flow control: announces the gap for the other side
            st_min_us[ECU if can_id == TESTER else TESTER] = data[2] * 1000
        elif kind == 2:
            close += stamp_us - last_us.get(can_id, 0) < st_min_us[can_id]
            last_us[can_id] = stamp_us
        elif can_id == ECU:
            if request_us is not None:
                late += stamp_us - request_us > P2_US
            elif pending_us is not None:
                late += stamp_us - pending_us > P2_STAR_US
            request_us = None
            is_pending = data[1:4:2] == b"\x7f\x78"
            if is_pending and pending_us is not None:
                close_pending += stamp_us - pending_us < 0.3 * P2_STAR_US
            pending_us = stamp_us if is_pending else None
        if can_id != ECU and kind != 3 and data[1:3] != b"\x3e\x80":
            request_us = stamp_us
    return Flagged(close, late, close_pending)


def run(speed: float, background: float = 0) -> Flagged:
    results = [
        flagged(drive(Options(seed=seed, speed=speed, background=background, image_size=2_000), 20 / speed))
        for seed in range(2)
    ]
    return Flagged(*map(sum, zip(*results, strict=True)))


@pytest.mark.parametrize("background", [0, 700])
def test_at_speed_1_every_time_is_as_announced(background: float) -> None:
    assert run(1, background) == (0, 0, 0)


def test_at_other_speeds_a_decoder_flags_what_the_guide_says() -> None:
    fast, slow = run(4), run(0.5)
    assert fast.close_consecutive
    assert not fast.late_responses
    assert slow.late_responses
    assert not slow.close_consecutive
