"""The simulated bus: arbitration and durations."""

from __future__ import annotations

import math

import pytest

from cancorderd.protocol.frame import BRS, EXTENDED, FD
from cancorderd.simulator.frame_duration import duration_s
from cancorderd.simulator.simulated_bus import BusFrame, SimulatedBus, priority


def test_frames_are_sent_in_order_of_their_ids() -> None:
    bus = SimulatedBus(500_000, 2_000_000)
    frames = [BusFrame(arbitration_id, bytes(8)) for arbitration_id in (0x400, 0x7E8, 0x100, 0x7E0)]
    for sender, frame in enumerate(frames):
        bus.put(frame, sender, 1.0)
    times, order = [], []
    while bus.due < math.inf:
        times.append(bus.due)
        order.append(bus.arrive())
    # The bus was idle when the first frame was queued.
    assert [frame.arbitration_id for frame, _ in order] == [0x400, 0x100, 0x7E0, 0x7E8]
    assert [sender for _, sender in order] == [0, 2, 3, 1]
    assert times == pytest.approx([1.0 + duration_s(0, 8, 500_000, 0) * n for n in (1, 2, 3, 4)])


def test_frames_with_the_same_id_keep_their_order() -> None:
    bus = SimulatedBus(500_000, 2_000_000)
    for byte in b"cba":
        bus.put(BusFrame(0x123, bytes([byte])), 0, 0.0)
    assert b"".join(bus.arrive()[0].data for _ in range(3)) == b"cba"


def test_arrive_raises_if_no_frame_is_on_the_bus() -> None:
    with pytest.raises(RuntimeError, match="no frame"):
        SimulatedBus(500_000, 2_000_000).arrive()


def test_a_standard_id_wins_over_an_extended_id_with_the_same_base() -> None:
    standard, same = BusFrame(0x123, b""), BusFrame(0x123 << 18, b"", EXTENDED)
    lower = BusFrame(0x122 << 18 | 0x3FFFF, b"", EXTENDED)
    assert priority(lower) < priority(standard) < priority(same)


# Frames per second on a full bus with the most stuff bits and with none.
@pytest.mark.parametrize(
    ("flags", "length", "bitrate", "slowest", "fastest"),
    [
        (0, 0, 1_000_000, 18_182, 21_277),
        (0, 8, 1_000_000, 7_407, 9_009),
        (EXTENDED, 0, 1_000_000, 12_500, 14_925),
        (EXTENDED, 8, 1_000_000, 6_250, 7_634),
    ],
)
def test_frames_last_as_long_as_on_a_real_bus(
    flags: int, length: int, bitrate: int, slowest: int, fastest: int
) -> None:
    assert slowest <= 1 / duration_s(flags, length, bitrate, bitrate) <= fastest


@pytest.mark.parametrize(("length", "per_second"), [(0, 28_090), (8, 20_661), (64, 7_194)])
def test_fd_frames_last_about_as_long_as_on_a_real_bus(length: int, per_second: int) -> None:
    assert 1 / duration_s(FD | BRS, length, 1_000_000, 5_000_000) == pytest.approx(per_second, rel=0.15)


def test_duration_of_a_frame_has_its_parts() -> None:
    """Bits of ISO 11898-1 with a tenth of stuffing; the checksum of CAN FD is longer above 16 bytes."""
    assert duration_s(0, 8, 500_000, 1) == pytest.approx(((34 + 64) * 1.1 + 13) / 500_000)
    assert duration_s(EXTENDED, 0, 500_000, 1) == pytest.approx((54 * 1.1 + 13) / 500_000)
    for flags, begin in ((FD, 17), (FD | EXTENDED, 36)):
        for length, checksum in ((0, 28), (12, 28), (16, 28), (20, 33), (64, 33)):
            expected = (begin * 1.1 + 13) / 500_000 + (5 + 8 * length * 1.1 + checksum) / 2_000_000
            assert duration_s(flags, length, 500_000, 2_000_000) == pytest.approx(expected)
