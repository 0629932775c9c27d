"""Odd packets in a stream: what can be repaired is repaired, the rest is skipped, and only lost borders end it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import HEADER, WireError, encode, encoding_error

GOOD = Frame(1_700_000_000_000_000, 0x123, 0, b"\1\2")


def packet(arbitration_id: int, flags: int, data: bytes) -> bytes:
    """Pack as other loggers do: without any check."""
    return HEADER.pack(7, arbitration_id, flags, len(data)) + data


ODD = [
    ("29-bit id without its flag", packet(0x18DA00F1, 0, b"a"), Frame(7, 0x18DA00F1, EXTENDED, b"a")),
    ("lowest 29-bit id without its flag", packet(0x800, FD, b"a"), Frame(7, 0x800, EXTENDED | FD, b"a")),
    ("CAN_EFF_FLAG in the id", packet(0x98DA00F1, 0, b"a"), Frame(7, 0x18DA00F1, EXTENDED, b"a")),
    ("CAN_EFF_FLAG in a small id", packet(0x8000_0123, EXTENDED, b""), Frame(7, 0x123, EXTENDED, b"")),
    ("CAN_RTR_FLAG in the id", packet(0x4000_0123, 0, b""), None),
    ("CAN_ERR_FLAG in the id", packet(0x2000_0004, 0, bytes(8)), None),
    ("unknown flags", packet(0x123, 0x30, b"a"), Frame(7, 0x123, 0, b"a")),
    ("mark of a remote frame", packet(0x123, 0x40, b""), None),
    ("mark of an error frame", packet(0x004, 0x80, bytes(8)), None),
    ("BRS and ESI without FD", packet(0x123, BRS | ESI, b"a"), Frame(7, 0x123, 0, b"a")),
    ("length of FD without FD", packet(0x123, BRS, bytes(12)), Frame(7, 0x123, FD | BRS, bytes(12))),
    ("length that no frame has", packet(0x123, 0, bytes(9)), None),
    ("length that no FD frame has", packet(0x123, FD, bytes(63)), None),
]


@pytest.mark.parametrize(("_name", "odd", "meant"), ODD, ids=[name for name, _, _ in ODD])
def test_an_odd_packet_costs_no_other_and_is_counted(_name: str, odd: bytes, meant: Frame | None) -> None:
    decoder = ForgivingDecoder()
    decoder.receive(encode(GOOD) + odd + encode(GOOD))
    assert list(decoder.frames()) == [GOOD, *([meant] if meant else []), GOOD]
    assert (decoder.repaired, decoder.skipped) == ((1, 0) if meant else (0, 1))
    assert decoder.first_fault


def test_a_valid_stream_has_no_fault() -> None:
    decoder = ForgivingDecoder()
    decoder.receive(encode(GOOD) + encode(Frame(1, 0x123, EXTENDED | FD | BRS | ESI, bytes(64))))
    assert len(list(decoder.frames())) == 2
    assert (decoder.repaired, decoder.skipped, decoder.first_fault) == (0, 0, "")


def test_first_fault_is_that_of_the_first_odd_packet() -> None:
    decoder = ForgivingDecoder()
    decoder.receive(packet(0x800, 0, b"") + packet(1, 0x10, b""))
    list(decoder.frames())
    assert decoder.first_fault == "arbitration id 0x800 is above 0x7FF"


def test_impossible_length_is_refused_after_the_frames_before_it() -> None:
    decoder = ForgivingDecoder()
    decoder.receive(encode(GOOD) + HEADER.pack(7, 1, 0, 65))
    assert decoder.next_frame() == GOOD
    for _ in range(2):
        with pytest.raises(WireError, match="length byte is 65"):
            decoder.next_frame()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**32 - 1) | st.integers(0, 0xFFF),
            st.integers(0, 255),
            st.binary(max_size=64),
        ),
        max_size=10,
    ),
    st.integers(1, 90),
)
def test_every_packet_gives_a_legal_frame_or_is_skipped(
    packets: list[tuple[int, int, int, bytes]], size: int
) -> None:
    stream = b"".join(HEADER.pack(*head, len(data)) + data for *head, data in packets)
    decoder = ForgivingDecoder()
    frames: list[Frame] = []
    for at in range(0, len(stream), size):
        decoder.receive(stream[at : at + size])
        frames += decoder.frames()
    assert len(frames) + decoder.skipped == len(packets)
    assert decoder.pending == 0
    assert [encoding_error(frame) for frame in frames] == [None] * len(frames)
    legal = [frame for frame in map(Frame._make, packets) if not encoding_error(frame)]
    assert len(packets) - decoder.repaired - decoder.skipped == len(legal)
    assert all(frame in frames for frame in legal)
