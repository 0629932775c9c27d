"""Remote and error frames inside the machine: their packets, their decoder, and batches that have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of, joined
from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.frame import ERROR, EXTENDED, FD, REMOTE, Frame
from cancorderd.protocol.internal_packets import InternalDecoder, error_packet, remote_packet
from cancorderd.protocol.packets import encode, restamped

DETAIL = bytes.fromhex("0004000000000000")
DATA = encode(Frame(1, 0x123, 0, b"\x01\x02"))
FD_DATA = encode(Frame(5, 0x124, FD, bytes(12)))
REMOTE_4 = remote_packet(2, 0x123, 4, extended=False)
ERROR_4 = error_packet(3, 0x2000_0004, DETAIL)
REMOTE_29 = remote_packet(4, 0x1ABCDEF0, 15, extended=True)
STREAM = DATA + REMOTE_4 + ERROR_4 + REMOTE_29 + FD_DATA
FRAMES = [
    Frame(1, 0x123, 0, b"\x01\x02"),
    Frame(2, 0x123, REMOTE, bytes(4)),
    Frame(3, 4, ERROR, DETAIL),
    Frame(4, 0x1ABCDEF0, EXTENDED | REMOTE, bytes(8)),
    Frame(5, 0x124, FD, bytes(12)),
]


def test_form_of_the_packets() -> None:
    assert bytes.fromhex("0000000000000002 00000123 40 04") == REMOTE_4
    assert bytes.fromhex("0000000000000003 00000004 80 08 0004000000000000") == ERROR_4
    assert bytes.fromhex("0000000000000004 1abcdef0 41 08") == REMOTE_29, "codes above 8 stand for 8 bytes"
    assert error_packet(3, 0x80)[-8:] == bytes(8)


@pytest.mark.parametrize(
    ("timestamp_us", "arbitration_id", "extended"),
    [(-1, 1, False), (0, 0x800, False), (0, 1 << 29, True), (0, -1, True)],
)
def test_remote_frame_that_does_not_exist_has_no_packet(
    timestamp_us: int, arbitration_id: int, extended: bool
) -> None:
    assert remote_packet(timestamp_us, arbitration_id, 1, extended=extended) == b""
    assert error_packet(-1, 4) == b""


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_any_split_of_the_stream_gives_the_same_frames(sizes: list[int]) -> None:
    decoder = InternalDecoder()
    found: list[Frame] = []
    start = 0
    for size in [*sizes, len(STREAM)]:
        decoder.receive(STREAM[start : start + size])
        found += decoder.frames()
        start += size
    assert (found, decoder.pending) == (FRAMES, 0)


def test_client_of_a_tcp_port_would_skip_an_error_frame() -> None:
    client = ForgivingDecoder()
    client.receive(DATA + ERROR_4 + FD_DATA)
    assert list(client.frames()) == [FRAMES[0], FRAMES[4]]


def test_batch_has_remote_and_error_frames_beside_its_packets() -> None:
    batch = batch_of([DATA, REMOTE_4, ERROR_4, REMOTE_29, FD_DATA], [1, 2, 3])
    assert batch == Batch(DATA + FD_DATA, 2, STREAM, 3)
    assert batch.external() == Batch(DATA + FD_DATA, 2)
    assert batch.whole() == Batch(STREAM, 2, b"", 3)
    plain = batch_of([DATA])
    assert plain == plain.external() == plain.whole() == Batch(DATA, 1)
    assert batch_of([]) is EMPTY_BATCH
    assert batch_of([ERROR_4], [0]) == Batch(b"", 0, ERROR_4, 1)


def test_joined_batches_keep_the_order_of_all_frames() -> None:
    parts = [batch_of([DATA]), batch_of([REMOTE_4, ERROR_4, REMOTE_29], [0, 1, 2]), batch_of([FD_DATA])]
    assert joined(parts) == Batch(DATA + FD_DATA, 2, STREAM, 3)
    assert joined(parts[:1]) == parts[0]


def test_all_frames_get_another_time_stamp() -> None:
    batch = restamped(batch_of([DATA, REMOTE_4, ERROR_4, FD_DATA], [1, 2]), 7)
    decoder = InternalDecoder()
    decoder.receive(batch.complete)
    assert [frame.timestamp_us for frame in decoder.frames()] == [7] * 4
    assert (batch.frames, batch.internal, len(batch.packets)) == (2, 2, len(DATA + FD_DATA))
