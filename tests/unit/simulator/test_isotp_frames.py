"""ISO-TP frames: every kind encoded and decoded, and frames that a receiver has to ignore."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.protocol.frame import DLC_LENGTHS
from cancorderd.simulator.isotp_frames import (
    ConsecutiveFrame,
    FirstFrame,
    FlowControl,
    FlowStatus,
    SingleFrame,
    consecutive,
    first,
    flow,
    parse,
    single,
    single_room,
    st_min_s,
)

BUILT = {
    "single": (single(b"\x3e\x00"), "02 3e 00 cc cc cc cc cc", SingleFrame(b"\x3e\x00")),
    "single, full": (single(b"1234567"), "07 31 32 33 34 35 36 37", SingleFrame(b"1234567")),
    "single, other padding": (single(b"\x01", padding=0), "01 01 00 00 00 00 00 00", SingleFrame(b"\x01")),
    "single, FD": (
        single(b"12345678"),
        "00 08 31 32 33 34 35 36 37 38 cc cc",
        SingleFrame(b"12345678"),
    ),
    "first": (first(b"12345678", 8), "10 08 31 32 33 34 35 36", FirstFrame(8, b"123456")),
    "first, longest": (first(b"x" * 4095, 8), "1f ff 78 78 78 78 78 78", FirstFrame(4095, b"x" * 6)),
    "consecutive": (
        consecutive(1, b"78"),
        "21 37 38 cc cc cc cc cc",
        ConsecutiveFrame(1, b"78" + b"\xcc" * 5),
    ),
    "consecutive, wrapped": (
        consecutive(16, b"1234567"),
        "20 31 32 33 34 35 36 37",
        ConsecutiveFrame(0, b"1234567"),
    ),
    "flow": (flow(FlowStatus.CONTINUE, 8, 5), "30 08 05 cc cc cc cc cc", FlowControl(0, 8, 5)),
    "flow, wait": (flow(FlowStatus.WAIT), "31 00 00 cc cc cc cc cc", FlowControl(1, 0, 0)),
    "flow, overflow": (flow(FlowStatus.OVERFLOW), "32 00 00 cc cc cc cc cc", FlowControl(2, 0, 0)),
}

IGNORED = {
    "nothing": "",
    "single of no bytes": "00 01 02 03 04 05 06 07",
    "single longer than its frame": "05 01 02 03",
    "single of eight in a classic frame": "08 01 02 03 04 05 06 07",
    "FD single that a short frame could hold": "00 07 01 02 03 04 05 06 07 cc cc cc",
    "FD single longer than its frame": "00 0b 01 02 03 04 05 06 07 cc cc cc",
    "FD single with the short form's length": "05 00 01 02 03 04 05 06 07 08 09 0a",
    "first that a single could be": "10 07 01 02 03 04 05 06",
    "first in a short frame": "10 08 01 02 03 04",
    "first with the long form for a short message": "10 00 00 00 0f ff 01 02",
    "consecutive of no bytes": "21",
    "flow without STmin": "30 00",
    "unknown kind": "40 01 02 03 04 05 06 07",
}


@pytest.mark.parametrize("case", BUILT)
def test_frames_are_encoded_and_decoded(case: str) -> None:
    frame, expected, meaning = BUILT[case]
    assert frame.hex(" ") == expected
    assert parse(frame) == meaning


@pytest.mark.parametrize("case", IGNORED)
def test_invalid_frames_are_ignored(case: str) -> None:
    assert parse(bytes.fromhex(IGNORED[case])) is None


def test_the_long_form_of_a_first_frame_is_decoded() -> None:
    assert parse(bytes.fromhex("10 00 00 00 10 00 01 02")) == FirstFrame(4096, b"\x01\x02")


@pytest.mark.parametrize("message", [b"", bytes(63)])
def test_single_refuses_messages_that_fit_no_frame(message: bytes) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        single(message)


@pytest.mark.parametrize(("length", "frame_length"), [(7, 8), (62, 64), (4096, 8)])
def test_first_refuses_messages_too_short_or_too_long(length: int, frame_length: int) -> None:
    with pytest.raises(ValueError, match="no message for frames"):
        first(bytes(length), frame_length)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (0, 0),
        (1, 0.001),
        (0x7F, 0.127),
        (0x80, 0.127),
        (0xF0, 0.127),
        (0xF1, 0.0001),
        (0xF9, 0.0009),
        (0xFA, 0.127),
    ],
)
def test_st_min_is_decoded(raw: int, seconds: float) -> None:
    assert st_min_s(raw) == pytest.approx(seconds)


@given(st.binary(min_size=1, max_size=single_room(64)), st.integers(0, 255))
def test_any_single_frame_has_a_valid_dlc_length(message: bytes, padding: int) -> None:
    frame = single(message, padding)
    assert len(frame) in DLC_LENGTHS
    assert parse(frame) == SingleFrame(message)


@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_or_ignored(frame: bytes) -> None:
    match parse(frame):
        case FirstFrame(length, payload):
            assert length > len(payload)
        case SingleFrame(payload) | ConsecutiveFrame(_, payload):
            assert 0 < len(payload) < len(frame)
        case other:
            assert other is None or isinstance(other, FlowControl)
