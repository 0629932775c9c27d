"""Frames that CAN does not have, from every kind of source: none is sent, each is counted, and the good ones go on."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder
from cancorderd.adapters.registry import open_source
from cancorderd.adapters.slcan.decoder import SlcanDecoder
from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder
from cancorderd.protocol.frame import DLC_LENGTHS, FD, Frame
from cancorderd.protocol.packet_heads import HeadCache
from cancorderd.protocol.packets import encoding_error
from tests.support.source_reading import frames_of
from tests.support.strict_packets import strict_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cancorderd.adapters.base import Source
    from cancorderd.protocol.batch import Batch

NOW_US = 1_700_000_000_000_000
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
IDS = st.one_of(
    st.integers(0, 0xFFFF_FFFF), st.sampled_from([0x7FF, 0x800, 0x7FF | RTR, EFF | 0x1FFF_FFFF, ERR | 4])
)
BYTES = st.integers(0, 255)


def socketcan(decoder: CanFrameDecoder, *slots: tuple[int, int, int, int], seconds: int = 1) -> Batch:
    """Decode (size, id, length, FD flags)."""
    frames = b"".join(CAN_FRAME.pack(can_id, length, flags, bytes(64)) for _, can_id, length, flags in slots)
    controls = CONTROL.pack(32, 1, 35, seconds, 0, 20, 1, 40, 0) * len(slots)
    return decoder.decode([slot[0] for slot in slots], memoryview(frames), memoryview(controls))


@pytest.mark.parametrize("length", [length for length in range(65) if length not in DLC_LENGTHS])
def test_socketcan_fd_frame_of_a_length_that_does_not_exist(length: int) -> None:
    decoder = CanFrameDecoder()
    frames = strict_frames(socketcan(decoder, (72, 1, length, 4), (72, 2, 12, 4), (16, 3, 8, 0)))
    assert [(frame.arbitration_id, len(frame.data)) for frame in frames] == [(2, 12), (3, 8)]
    assert (decoder.error_frames, decoder.remote_frames) == (1, 0)


@pytest.mark.parametrize(
    "slot",
    [(16, 1, 9, 0), (72, 1, 200, 0), (16, 0x800, 1, 0), (72, 0x1FFF_FFFF, 1, 0), (72, 1 | RTR, 8, 4)],
    ids=[
        "classic of 9 bytes",
        "FD of 200 bytes",
        "29-bit id without the flag",
        "the same with FD",
        "remote with FD",
    ],
)
def test_socketcan_frame_that_does_not_exist(slot: tuple[int, int, int, int]) -> None:
    decoder = CanFrameDecoder()
    assert strict_frames(socketcan(decoder, slot, slot)) == []
    assert (decoder.error_frames, decoder.remote_frames) == (2, 0)


def test_socketcan_stamp_before_1970() -> None:
    decoder = CanFrameDecoder()
    assert strict_frames(socketcan(decoder, (16, 1, 1, 0), seconds=-1)) == []
    assert decoder.error_frames == 1


@given(st.lists(st.tuples(st.sampled_from([16, 72]), IDS, BYTES, BYTES), max_size=20))
def test_socketcan_sends_or_counts_every_frame(slots: list[tuple[int, int, int, int]]) -> None:
    decoder = CanFrameDecoder()
    frames = strict_frames(socketcan(decoder, *slots))
    assert len(frames) + decoder.error_frames + decoder.remote_frames == len(slots)


def host_frame(can_id: int, code: int, bits: int, channel: int = 0) -> bytes:
    return struct.pack("<IIBBBB", 0xFFFF_FFFF, can_id, code, channel, bits, 0) + bytes(64 if bits & 2 else 8)


@pytest.mark.parametrize(
    "transfer",
    [host_frame(0x800, 1, 0), host_frame(1, 16, 2), host_frame(1, 200, 0), host_frame(1 | RTR, 1, 2)],
    ids=["29-bit id without the flag", "code 16", "code 200", "remote with FD"],
)
def test_gs_usb_frame_that_does_not_exist(transfer: bytes) -> None:
    decoder = GsUsbDecoder()
    assert strict_frames(decoder.decode([transfer, host_frame(2, 8, 0), transfer], NOW_US)) == [
        Frame(NOW_US, 2, 0, bytes(8))
    ]
    assert (decoder.malformed, decoder.remote_frames, decoder.error_frames) == (2, 0, 0)


@given(st.lists(st.builds(host_frame, IDS, BYTES, BYTES), max_size=20))
def test_gs_usb_sends_or_counts_every_frame(transfers: list[bytes]) -> None:
    decoder = GsUsbDecoder()
    frames = strict_frames(decoder.decode(transfers, NOW_US))
    counted = decoder.malformed + decoder.error_frames + decoder.remote_frames
    assert len(frames) + counted == len(transfers)


@pytest.mark.parametrize("line", [b"t8001AA", b"t1239" + b"AA" * 9, b"T2000000010A", b"tFFF0", b"T800000000"])
def test_slcan_frame_that_does_not_exist(line: bytes) -> None:
    decoder = SlcanDecoder()
    text = b"\r".join([line, b"t7FF0", b"d1F09" + b"AA" * 12, line, b""])
    frames = strict_frames(decoder.decode(text, NOW_US))
    assert [(frame.arbitration_id, frame.flags) for frame in frames] == [(0x7FF, 0), (0x1F0, FD)]
    assert decoder.malformed == 2


@pytest.mark.parametrize(
    ("can_id", "bits", "code"),
    [
        (0x800, 0, 1),
        (0x20000000, can_api.XTD, 1),
        (1, 0, 16),
        (1, can_api.FDF, 200),
        (1, can_api.RTR | can_api.FDF, 1),
    ],
)
def test_toucan_message_that_does_not_exist(can_id: int, bits: int, code: int) -> None:
    decoder = ToucanDecoder()
    messages = can_api.MESSAGE.pack(can_id, bits, code, bytes(64), 1, 0) * 2
    assert strict_frames(decoder.decode(memoryview(messages), NOW_US)) == []
    assert (decoder.error_frames, decoder.remote_frames) == (2, 0)


@given(st.lists(st.tuples(IDS, BYTES, BYTES), max_size=20))
def test_toucan_sends_or_counts_every_message(messages: Sequence[tuple[int, int, int]]) -> None:
    decoder = ToucanDecoder()
    packed = b"".join(can_api.MESSAGE.pack(*message, bytes(64), 1, 0) for message in messages)
    frames = strict_frames(decoder.decode(memoryview(packed), NOW_US))
    assert len(frames) + decoder.error_frames + decoder.remote_frames == len(messages)


MESSAGES = {
    "classic of 9 bytes": {"data": bytes(9)},
    "classic of 300 bytes": {"data": bytes(300)},
    "FD of 9 bytes": {"data": bytes(9), "is_fd": True},
    "FD of 200 bytes": {"data": bytes(200), "is_fd": True},
    "29-bit id without the flag": {"arbitration_id": 0x800, "is_extended_id": False},
    "id of 30 bits": {"arbitration_id": 0x2000_0000},
    "negative id": {"arbitration_id": -1},
}


def legal_ids(source: Source) -> list[int]:
    """Read two frames; fails if one breaks a limit of CAN."""
    frames = frames_of(source, 2)
    assert [encoding_error(frame) for frame in frames] == [None, None]
    return [frame.arbitration_id for frame in frames]


@pytest.mark.parametrize("keys", MESSAGES.values(), ids=MESSAGES)
def test_driver_of_python_can_with_a_frame_that_does_not_exist(
    make_settings: Callable[..., Any], keys: dict[str, Any]
) -> None:
    source = open_source(make_settings("virtual", channel="illegal"))
    with can.Bus(interface="virtual", channel="illegal") as sender:
        for message in ({"arbitration_id": 1}, {"arbitration_id": 5} | keys, {"arbitration_id": 2}):
            sender.send(can.Message(**message))
        assert legal_ids(source) == [1, 2]
    assert source.error_frames == 1
    source.close()


@pytest.mark.parametrize(
    "line", ["123#001122334455667788", "123##0001122334455667788", "123##0" + "00" * 200, "123#" + "00" * 300]
)
def test_log_with_a_frame_that_does_not_exist(
    make_settings: Callable[..., Any], tmp_path: Path, line: str
) -> None:
    log = tmp_path / "odd.log"
    log.write_text("".join(f"(1.0) can0 {frame}\n" for frame in ("001#", line, "002#")))
    source = open_source(make_settings("replay", file=str(log)))
    assert legal_ids(source) == [1, 2]
    assert source.error_frames == 1
    source.close()


def test_heads_are_read_once_and_noise_does_not_fill_the_memory() -> None:
    read: list[int] = []

    def read_head(number: int) -> int:
        read.append(number)
        return number

    heads = HeadCache(read_head)
    assert [heads[7], heads[7]] == [7, 7]
    assert read == [7]
    for number in range(20_000):
        assert heads[number] == number
    assert len(heads) <= 8192
