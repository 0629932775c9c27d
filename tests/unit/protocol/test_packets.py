from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
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
from cancorderd.protocol.internal_packets import error_packet, remote_packet
from cancorderd.protocol.packets import (
    AFTER_TIMESTAMP,
    HEADER,
    MAX_PACKET,
    TIMESTAMP,
    PacketDecoder,
    WireError,
    encode,
    encode_all,
    restamped,
)

CASES = [
    (
        "the ancestor's example",
        Frame(0x00018F4C45A68F20, 0x123, 0, bytes.fromhex("0102")),
        "00018f4c45a68f20 00000123 00 02 0102",
    ),
    ("no payload", Frame(0, 0, 0, b""), "0000000000000000 00000000 00 00"),
    (
        "highest standard id",
        Frame(1, 0x7FF, 0, b"\xff" * 8),
        "0000000000000001 000007ff 00 08 ffffffffffffffff",
    ),
    ("highest extended id", Frame(2, 0x1FFFFFFF, EXTENDED, b"\x00"), "0000000000000002 1fffffff 01 01 00"),
    ("small extended id", Frame(3, 0x123, EXTENDED, b""), "0000000000000003 00000123 01 00"),
    ("FD, 12 bytes", Frame(4, 0x1F0, FD, bytes(12)), "0000000000000004 000001f0 02 0c" + "00" * 12),
    ("FD, all flags", Frame(5, 0x1F0, EXTENDED | FD | BRS | ESI, b""), "0000000000000005 000001f0 0f 00"),
    ("FD, 64 bytes", Frame(6, 1, FD | BRS, b"\xab" * 64), "0000000000000006 00000001 06 40" + "ab" * 64),
    ("highest time stamp", Frame(2**64 - 1, 1, 0, b""), "ffffffffffffffff 00000001 00 00"),
]
NAMES = [name for name, _, _ in CASES]
STREAM = b"".join(bytes.fromhex(text) for _, _, text in CASES)
FRAMES = [frame for _, frame, _ in CASES]

INVALID = [
    (Frame(-1, 1), "time stamp -1"),
    (Frame(2**64, 1), "does not fit 64 bits"),
    (Frame(0, 0x800), "arbitration id 0x800 is above 0x7FF"),
    (Frame(0, 0x20000000, EXTENDED), "above 0x1FFFFFFF"),
    (Frame(0, -1), "above 0x7FF"),
    (Frame(0, 1, BRS), "BRS and ESI occur with FD only"),
    (Frame(0, 1, ESI), "BRS and ESI occur with FD only"),
    (Frame(0, 1, 0x10), "have no meaning"),
    (Frame(0, 1, 0, bytes(9)), "a classic frame holds at most 8"),
    (Frame(0, 1, FD, bytes(9)), "CAN FD has no such length"),
    (Frame(0, 1, FD, bytes(65)), "CAN FD has no such length"),
]


@pytest.mark.parametrize(("_name", "frame", "text"), CASES, ids=NAMES)
def test_encode(_name: str, frame: Frame, text: str) -> None:
    assert encode(frame) == bytes.fromhex(text)


@pytest.mark.parametrize(("_name", "frame", "text"), CASES, ids=NAMES)
@pytest.mark.parametrize(
    "trailing", [b"", b"\x00", STREAM[:20]], ids=["alone", "before one byte", "before other packets"]
)
def test_decode_whole(_name: str, frame: Frame, text: str, trailing: bytes) -> None:
    decoder = PacketDecoder()
    decoder.receive(bytes.fromhex(text) + trailing)
    assert decoder.next_frame() == frame


@pytest.mark.parametrize(("_name", "frame", "text"), CASES, ids=NAMES)
def test_decode_byte_by_byte(_name: str, frame: Frame, text: str) -> None:
    decoder = PacketDecoder()
    packet = bytes.fromhex(text)
    for index in range(len(packet)):
        assert decoder.next_frame() is None
        decoder.receive(packet[index : index + 1])
    assert decoder.next_frame() == frame
    assert decoder.pending == 0


@pytest.mark.parametrize(("frame", "reason"), INVALID)
def test_encode_refuses_a_frame_outside_the_limits_of_can(frame: Frame, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        encode(frame)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0000000000000000 00000001 00 41", "length byte is 65"),
        ("0000000000000000 00000001 00 09" + "00" * 9, "at most 8"),
        ("0000000000000000 00000800 00 00", "above 0x7FF"),
        ("0000000000000000 00000001 04 00", "with FD only"),
    ],
)
def test_decoder_returns_the_frames_before_an_invalid_packet_and_refuses_it(text: str, reason: str) -> None:
    decoder = PacketDecoder()
    decoder.receive(encode(FRAMES[0]) + bytes.fromhex(text))
    assert decoder.next_frame() == FRAMES[0]
    with pytest.raises(WireError, match=reason):
        decoder.next_frame()


def test_largest_packet_is_max_packet() -> None:
    assert max(len(encode(frame)) for frame in FRAMES) == MAX_PACKET == 78


def test_parts_of_the_header_add_up_to_the_header() -> None:
    fields = (1, 0x123, FD, 8)
    assert TIMESTAMP.pack(fields[0]) + AFTER_TIMESTAMP.pack(*fields[1:]) == HEADER.pack(*fields)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    fd = draw(st.booleans())
    extended = draw(st.booleans())
    flags = EXTENDED * extended
    if fd:
        flags |= FD | BRS * draw(st.booleans()) | ESI * draw(st.booleans())
    length = draw(st.sampled_from(DLC_LENGTHS if fd else DLC_LENGTHS[:9]))
    return Frame(
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, MAX_EXTENDED_ID if extended else MAX_STANDARD_ID)),
        flags,
        draw(st.binary(min_size=length, max_size=length)),
    )


@given(st.lists(frames(), max_size=20), st.lists(st.integers(1, 100), min_size=1))
def test_any_split_of_the_stream_gives_the_same_frames(sent: list[Frame], sizes: list[int]) -> None:
    stream = encode_all(sent)
    decoder = PacketDecoder()
    received: list[Frame] = []
    position = 0
    for size in itertools.cycle(sizes):
        decoder.receive(stream[position : position + size])
        received += decoder.frames()
        position += size
        if position >= len(stream):
            break
    assert received == sent
    assert decoder.pending == 0


def test_restamped_frames_are_the_same_frames() -> None:
    frames = [frame for _, frame, _ in CASES]
    again = [frame._replace(timestamp_us=77) for frame in frames]
    assert restamped(Batch(encode_all(frames), len(frames)), 77) == Batch(encode_all(again), len(again))
    assert restamped(EMPTY_BATCH, 77) == EMPTY_BATCH


def test_remote_and_error_frames_of_a_batch_are_restamped_with_it() -> None:
    def mixed(stamp_us: int) -> Batch:
        remote = remote_packet(stamp_us, 0x123, 4, extended=False)
        error = error_packet(stamp_us, 0x44, bytes(8))
        return batch_of([remote, encode(Frame(stamp_us, 1, 0, b"abc")), error], {0, 2})

    assert restamped(mixed(5), 77) == mixed(77)
