"""Remote and error frames of every kind of source, for readers inside the machine: beside the packets, never among them."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder
from cancorderd.adapters.registry import open_source
from cancorderd.adapters.slcan.decoder import SlcanDecoder
from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder
from cancorderd.protocol.frame import ERROR, EXTENDED, REMOTE, Frame
from cancorderd.protocol.internal_packets import InternalDecoder
from tests.support.harness import poll
from tests.support.strict_packets import strict_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cancorderd.adapters.base import Source
    from cancorderd.protocol.batch import Batch

NOW_US = 1_700_000_000_000_000
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
DETAIL = bytes.fromhex("0008000000006000")


def everything(batch: Batch) -> list[Frame]:
    """Return all frames, and check that only data frames are among the packets."""
    decoder = InternalDecoder()
    decoder.receive(batch.complete or batch.packets)
    found = list(decoder.frames())
    assert (decoder.pending, decoder.repaired, decoder.skipped) == (0, 0, 0)
    internal = [frame for frame in found if frame.flags & (REMOTE | ERROR)]
    assert batch.internal == len(internal)
    assert strict_frames(batch) == [frame for frame in found if frame not in internal]
    return found


def socketcan(decoder: CanFrameDecoder, *frames: tuple[int, bytes]) -> Batch:
    slots = b"".join(CAN_FRAME.pack(can_id, len(data), 0, data.ljust(64, b"\xee")) for can_id, data in frames)
    controls = b"".join(CONTROL.pack(32, 1, 35, second, 0, 20, 1, 40, 0) for second in range(len(frames)))
    return decoder.decode([16] * len(frames), memoryview(slots), memoryview(controls))


SOCKETCAN = [(1, b"a"), (5 | RTR, bytes(4)), (ERR | 0x44, DETAIL), (2, b"b"), (EFF | RTR | 0x12345, b"")]


def test_socketcan_with_the_kernels_stamps() -> None:
    decoder = CanFrameDecoder()
    decoder.internal = True
    assert everything(socketcan(decoder, *SOCKETCAN)) == [
        Frame(0, 1, 0, b"a"),
        Frame(1_000_000, 5, REMOTE, bytes(4)),
        Frame(2_000_000, 0x44, ERROR, DETAIL),
        Frame(3_000_000, 2, 0, b"b"),
        Frame(4_000_000, 0x12345, EXTENDED | REMOTE, b""),
    ]
    assert (decoder.error_frames, decoder.remote_frames) == (1, 2), "they count as before"


def test_nobody_reads_them_and_they_are_counted_alone() -> None:
    decoder = CanFrameDecoder()
    batch = socketcan(decoder, *SOCKETCAN)
    assert (batch.complete, batch.internal, batch.frames) == (b"", 0, 2)
    assert (decoder.error_frames, decoder.remote_frames) == (1, 2)


def test_frame_that_does_not_exist_is_not_for_readers_either() -> None:
    decoder = CanFrameDecoder()
    decoder.internal = True
    assert everything(socketcan(decoder, (0x800, b"a"), (0x800 | RTR, b""))) == []


def host_frame(can_id: int, code: int, data: bytes = b"", bits: int = 0, channel: int = 0) -> bytes:
    return struct.pack("<IIBBBB", 0xFFFF_FFFF, can_id, code, channel, bits, 0) + data.ljust(8, b"\0")


def test_gs_usb_within_the_filters_and_the_channel() -> None:
    decoder = GsUsbDecoder(accepts=lambda arbitration_id, _extended: arbitration_id < 8)
    decoder.internal = True
    transfers = [
        host_frame(1, 1, b"a"),
        host_frame(5 | RTR, 4),
        host_frame(9 | RTR, 4),
        host_frame(5 | RTR, 4, channel=1),
        host_frame(ERR | 4, 8, DETAIL, bits=1),
        host_frame(2, 1, b"b", bits=1),
    ]
    assert everything(decoder.decode(transfers, NOW_US)) == [
        Frame(NOW_US, 1, 0, b"a"),
        Frame(NOW_US, 5, REMOTE, bytes(4)),
        Frame(NOW_US, 4, ERROR, DETAIL),
        Frame(NOW_US, 2, 0, b"b"),
    ]
    assert (decoder.error_frames, decoder.remote_frames, decoder.overflows) == (1, 2, 2)


def test_gs_usb_firmware_that_does_not_stamp_error_frames_cannot_confuse_the_clock() -> None:
    seen: list[int] = []

    def epoch_us(stamp_us: int, now_us: int) -> int:
        seen.append(stamp_us)
        return now_us - 1

    decoder = GsUsbDecoder(epoch_us=epoch_us)
    decoder.internal = True
    stamped = [host_frame(1, 0) + struct.pack("<I", 7), host_frame(ERR | 4, 8, DETAIL) + bytes(4)]
    assert [frame.timestamp_us for frame in everything(decoder.decode(stamped, NOW_US))] == [
        NOW_US - 1,
        NOW_US,
    ]
    assert seen == [7]


def test_slcan_remote_frames() -> None:
    decoder = SlcanDecoder(lambda arbitration_id, _extended: arbitration_id != 9)
    decoder.internal = True
    text = b"t1231AA\rr1234\rR000123450\rr0090\rzz\rt1240\r"
    assert everything(decoder.decode(text, NOW_US)) == [
        Frame(NOW_US, 0x123, 0, b"\xaa"),
        Frame(NOW_US, 0x123, REMOTE, bytes(4)),
        Frame(NOW_US, 0x12345, EXTENDED | REMOTE, b""),
        Frame(NOW_US, 0x124),
    ]
    assert (decoder.remote_frames, decoder.malformed) == (3, 1)


def toucan(bits: int, can_id: int = 0, code: int = 1, status: int = 0) -> bytes:
    return can_api.MESSAGE.pack(can_id, bits, code, bytes([status]) + bytes(63), 0, 0)


@pytest.mark.parametrize(
    ("status", "error_class", "detail"),
    [
        (can_api.BUS_OFF, 0x40, 0),
        (can_api.WARNING, 0x04, 0x0C),
        (can_api.BUS_ERROR, 0x80, 0),
        (can_api.QUEUE_OVERRUN | can_api.WARNING, 0x04, 0x0D),
        (0, 0x04, 0x40),
    ],
)
def test_toucan_status_messages_as_error_frames(status: int, error_class: int, detail: int) -> None:
    decoder = ToucanDecoder()
    decoder.internal = True
    messages = toucan(0, 1) + toucan(can_api.STS, status=status) + toucan(can_api.RTR, 5, 4)
    found = everything(decoder.decode(memoryview(messages), NOW_US))
    assert [frame[1:3] for frame in found] == [(1, 0), (error_class, ERROR), (5, REMOTE)]
    assert found[1].data == bytes([0, detail, 0, 0, 0, 0, 0, 0])


def read_all(source: Source, count: int) -> list[Frame]:
    found: list[Frame] = []

    def enough() -> bool:
        found.extend(everything(source.read(time.monotonic())))
        return len(found) >= count

    poll(enough, what=f"{count} frames")
    return found


def test_driver_of_python_can(make_settings: Callable[..., Any]) -> None:
    source = open_source(make_settings("virtual", channel="internal"))
    source.internal = True
    with can.Bus(interface="virtual", channel="internal") as sender:
        sender.send(can.Message(arbitration_id=1, is_extended_id=False, data=b"a"))
        sender.send(can.Message(arbitration_id=5, is_extended_id=False, is_remote_frame=True, dlc=3))
        sender.send(can.Message(is_error_frame=True))
        sender.send(can.Message(arbitration_id=4, is_error_frame=True, data=DETAIL, dlc=8))
        found = read_all(source, 4)
    assert [frame[1:] for frame in found] == [
        (1, 0, b"a"),
        (5, REMOTE, bytes(3)),
        (0x80, ERROR, bytes(8)),
        (4, ERROR, DETAIL),
    ]
    assert (source.error_frames, source.remote_frames) == (2, 1)
    source.close()


def test_log(make_settings: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "bus.log"
    lines = ["001#61", "005#R3", "00012345#R", "20000080#0008000000006000", "002#62"]
    log.write_text("".join(f"(1.0) can0 {line}\n" for line in lines))
    source = open_source(make_settings("replay", file=str(log)))
    source.internal = True
    assert [frame[1:3] for frame in read_all(source, 5)] == [
        (1, 0),
        (5, REMOTE),
        (0x12345, EXTENDED | REMOTE),
        (0x80, ERROR),
        (2, 0),
    ]
    assert (source.error_frames, source.remote_frames) == (1, 2)
    source.close()
