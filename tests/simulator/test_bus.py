"""The simulated bus: who goes first, and how long it takes."""

from __future__ import annotations

import math

import pytest

from cancorderd.frame import BRS, EXTENDED, FD
from cancorderd.simulator.bus import Bus, BusFrame, duration_s, priority


def test_frames_go_one_by_one_lowest_id_first() -> None:
    bus = Bus(500_000, 2_000_000)
    frames = [BusFrame(arbitration_id, bytes(8)) for arbitration_id in (0x400, 0x7E8, 0x100, 0x7E0)]
    for sender, frame in enumerate(frames):
        bus.put(frame, sender, 1.0)
    times, order = [], []
    while bus.due < math.inf:
        times.append(bus.due)
        order.append(bus.arrive())
    # The first one found the bus idle.
    assert [frame.arbitration_id for frame, _ in order] == [0x400, 0x100, 0x7E0, 0x7E8]
    assert [sender for _, sender in order] == [0, 2, 3, 1]
    assert times == pytest.approx([1.0 + duration_s(frames[0], 500_000, 0) * n for n in (1, 2, 3, 4)])


def test_an_id_that_waits_twice_keeps_its_order() -> None:
    bus = Bus(500_000, 2_000_000)
    for byte in b"abc":
        bus.put(BusFrame(0x123, bytes([byte])), 0, 0.0)
    assert b"".join(bus.arrive()[0].data for _ in range(3)) == b"abc"


def test_arrive_needs_a_frame() -> None:
    with pytest.raises(RuntimeError, match="no frame"):
        Bus(500_000, 2_000_000).arrive()


def test_a_standard_id_wins_over_an_extended_one_with_the_same_start() -> None:
    standard, same = BusFrame(0x123, b""), BusFrame(0x123 << 18, b"", EXTENDED)
    lower = BusFrame(0x122 << 18 | 0x3FFFF, b"", EXTENDED)
    assert priority(lower) < priority(standard) < priority(same)


# Without stuffing, and with the most that there can be: facts.md, "Frames per second on a full bus".
@pytest.mark.parametrize(
    ("frame", "bitrate", "slowest", "fastest"),
    [
        (BusFrame(0x123, b""), 1_000_000, 18_182, 21_277),
        (BusFrame(0x123, bytes(8)), 1_000_000, 7_407, 9_009),
        (BusFrame(0x123, b"", EXTENDED), 1_000_000, 12_500, 14_925),
        (BusFrame(0x123, bytes(8), EXTENDED), 1_000_000, 6_250, 7_634),
    ],
)
def test_frames_last_as_long_as_real_ones(frame: BusFrame, bitrate: int, slowest: int, fastest: int) -> None:
    assert slowest <= 1 / duration_s(frame, bitrate, bitrate) <= fastest


@pytest.mark.parametrize(("length", "per_second"), [(0, 28_090), (8, 20_661), (64, 7_194)])
def test_fd_frames_last_about_as_long_as_real_ones(length: int, per_second: int) -> None:
    frame = BusFrame(0x123, bytes(length), FD | BRS)
    assert 1 / duration_s(frame, 1_000_000, 5_000_000) == pytest.approx(per_second, rel=0.15)
