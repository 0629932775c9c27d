"""Memory as recvmmsg leaves it, made by hand after linux/can.h; tests/lab has a real kernel."""

from __future__ import annotations

import struct

import pytest

from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder, kernel_filters
from cancorderd.config.bus_settings import Filter
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import PacketDecoder

CLASSIC, FD_SIZE = 16, 72
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000


def slot(can_id: int, data: bytes, fd_flags: int = 0) -> bytes:
    return CAN_FRAME.pack(can_id, len(data), fd_flags, data + b"\xee" * (64 - len(data)))


def control(seconds: int, nanoseconds: int, drops: int = 0) -> bytes:
    return CONTROL.pack(32, 1, 35, seconds, nanoseconds, 20, 1, 40, drops)


def decoded(decoder: CanFrameDecoder, *messages: tuple[int, bytes, bytes]) -> list[Frame]:
    batch = decoder.decode(
        [size for size, _, _ in messages],
        memoryview(b"".join(data for _, data, _ in messages)),
        memoryview(b"".join(ancillary for _, _, ancillary in messages)),
    )
    wire = PacketDecoder()
    wire.receive(batch.packets)
    frames = list(wire.frames())
    assert (wire.pending, batch.frames) == (0, len(frames))
    return frames


def test_layouts_are_the_kernels() -> None:
    assert CAN_FRAME.size == struct.calcsize("@IBBBB64s") == 72
    assert CONTROL.size % struct.calcsize("N") == 0


def test_frames_of_every_kind_with_the_kernels_time_stamp() -> None:
    frames = decoded(
        CanFrameDecoder(),
        (CLASSIC, slot(0x123, b"\x01\x02"), control(5, 1999)),
        (CLASSIC, slot(0x123 | EFF, b""), control(5, 2000)),
        (FD_SIZE, slot(0x1F0, bytes(12), 0x04), control(6, 0)),
        (FD_SIZE, slot(0x1FFFFFFF | EFF, bytes(64), 0x07), control(7, 0)),
    )
    assert frames == [
        Frame(5_000_001, 0x123, 0, b"\x01\x02"),
        Frame(5_000_002, 0x123, EXTENDED, b""),
        Frame(6_000_000, 0x1F0, FD, bytes(12)),
        Frame(7_000_000, 0x1FFFFFFF, EXTENDED | FD | BRS | ESI, bytes(64)),
    ]


def test_remote_frames_are_counted_and_have_no_packet() -> None:
    decoder = CanFrameDecoder()
    assert decoded(decoder, (CLASSIC, slot(0x123 | RTR, b"\0\0"), control(1, 0))) == []
    assert (decoder.remote_frames, decoder.error_frames) == (1, 0)


@pytest.mark.parametrize(
    ("can_id", "detail", "state"),
    [
        (0x04, 0x04, "error-warning"),
        (0x04, 0x08, "error-warning"),
        (0x04, 0x10, "error-passive"),
        (0x04, 0x20, "error-passive"),
        (0x04, 0x40, "error-active"),
        (0x40, 0, "bus-off"),
        (0x100, 0, "error-active"),
        (0x02, 0, None),
    ],
)
def test_error_frames_report_the_controllers_state(can_id: int, detail: int, state: str | None) -> None:
    decoder = CanFrameDecoder()
    payload = bytes([0, detail, 0, 0, 0, 0, 0, 0])
    assert decoded(decoder, (CLASSIC, slot(can_id | ERR, payload), control(1, 0))) == []
    assert (decoder.controller, decoder.error_frames, decoder.overflows) == (state, 1, 0)


def test_receive_overflow_of_the_controller_is_counted() -> None:
    decoder = CanFrameDecoder()
    payload = bytes([0, 0x01, 0, 0, 0, 0, 0, 0])
    decoded(decoder, (CLASSIC, slot(0x04 | ERR, payload), control(1, 0)))
    assert decoder.overflows == 1


def test_drop_counter_counts_lost_frames_over_its_wrap() -> None:
    decoder = CanFrameDecoder()
    empty = slot(1, b"")
    decoded(decoder, (CLASSIC, empty, control(1, 0)), (CLASSIC, empty, control(1, 0, 7)))
    assert decoder.lost_kernel == 7
    decoded(decoder, (CLASSIC, empty, control(1, 0, 7)))
    assert decoder.lost_kernel == 7
    decoded(decoder, (CLASSIC, empty, control(1, 0, 0xFFFFFFFF)))
    decoded(decoder, (CLASSIC, empty, control(1, 0, 2)))
    assert decoder.lost_kernel == 0xFFFFFFFF + 3


def test_kernel_filters_match_the_kind_of_id() -> None:
    filters = [
        Filter(id=1, mask=0x7FF),
        Filter(id=2, mask=0x7FF, extended=False),
        Filter(id=3, extended=True),
    ]
    assert kernel_filters(filters) == struct.pack("=6I", 1, 0x7FF, 2, 0x7FF | EFF, 3 | EFF, 0x1FFFFFFF | EFF)
