"""Text of firmware that takes liberties with the book: no frame is lost by them, and nothing is counted that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.slcan.decoder import SlcanDecoder
from cancorderd.protocol.frame import BRS, EXTENDED, FD, Frame
from cancorderd.protocol.packets import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

STAMP = 1_700_000_000_000_000
LATER = STAMP + 2_000_000


def decoded(decoder: SlcanDecoder, text: bytes, now_us: int = STAMP) -> list[Frame]:
    wire = PacketDecoder()
    wire.receive(decoder.decode(text, now_us).packets)
    return list(wire.frames())


SENT = [
    (b"t1232AABB", Frame(STAMP, 0x123, 0, b"\xaa\xbb")),
    (b"T000001230", Frame(STAMP, 0x123, EXTENDED, b"")),
    (b"b1239" + b"A5" * 12, Frame(STAMP, 0x123, FD | BRS, b"\xa5" * 12)),
    (b"t1238" + b"00" * 8, Frame(STAMP, 0x123, 0, bytes(8))),
]
LINE_ENDS = [
    b"\r",
    b"\r\n",
    b"\n",
    b"\n\r",
    b"\r\r\n",
    b"\r\n\r\n",
    b"\r\0",
    b"\0\r\n",
    b" \r\n",
    b"\t\r",
    b"\r\r\r",
]


def spaced(line: bytes) -> bytes:
    """Return a line as a firmware that prints for people writes it: `t 123 2 AA BB`."""
    digits = 8 if line[:1].isupper() else 3
    data = line[2 + digits :]
    groups = [data[index : index + 2] for index in range(0, len(data), 2)]
    return b" ".join((line[:1], line[1 : 1 + digits], line[1 + digits : 2 + digits], *groups))


@pytest.mark.parametrize("end", LINE_ENDS, ids=map(repr, LINE_ENDS))
def test_any_line_end_ends_a_line_whole_and_byte_by_byte(end: bytes) -> None:
    text = b"".join(line + end for line, _ in SENT)
    expected = [frame for _, frame in SENT]
    decoder = SlcanDecoder()
    assert decoded(decoder, text) == expected
    assert [frame for byte in text for frame in decoded(decoder, bytes([byte]))] == expected
    assert decoder.malformed == decoder.refusals == 0
    assert decoder.answers == []


@pytest.mark.parametrize(
    "dressed",
    [
        spaced,
        lambda line: b" " + line,
        lambda line: line + b"  ",
        lambda line: b"\0" + line.replace(b"3", b"3\0"),
        lambda line: b"\t".join((line[:5], line[5:])),
        lambda line: b"\x11" + line + b"\x13",
        lambda line: b"\x7f" + line,
        lambda line: line[:1] + line[1:].lower(),
    ],
)  # fmt: skip
def test_bytes_that_leave_no_mark_on_a_terminal_do_not_cost_the_frame(
    dressed: Callable[[bytes], bytes],
) -> None:
    decoder = SlcanDecoder()
    text = b"".join(dressed(line) + b"\r" for line, _ in SENT)
    assert decoded(decoder, text) == [frame for _, frame in SENT]
    assert decoder.malformed == 0


def test_answers_with_other_line_ends_are_answers() -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, b"\r\nz\r\nZ\r\nF04\r\nV1013\n\n\0\r\n") == []
    assert decoder.answers == [b"F04", b"V1013"]
    assert decoder.malformed == 0


@given(
    st.lists(st.tuples(st.sampled_from(SENT), st.sampled_from(LINE_ENDS), st.booleans()), max_size=20),
    st.lists(st.integers(1, 40), min_size=1, max_size=10),
)
def test_any_dress_in_any_split_gives_the_same_frames(
    sent: list[tuple[tuple[bytes, Frame], bytes, bool]], sizes: list[int]
) -> None:
    text = b"".join((spaced(line) if wide else line) + end for (line, _), end, wide in sent)
    decoder = SlcanDecoder()
    frames = []
    for turn in range(len(text)):
        frames += decoded(decoder, text[: sizes[turn % len(sizes)]])
        text = text[sizes[turn % len(sizes)] :]
    assert frames == [frame for (_, frame), _, _ in sent]
    assert decoder.malformed == 0


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"x"])
def test_line_that_is_held_down_is_counted_once(filler: bytes) -> None:
    decoder = SlcanDecoder()
    for _ in range(100):
        decoder.decode(filler * 4096, STAMP)
    assert decoded(decoder, b"\rt1230\r") == [Frame(STAMP, 0x123, 0, b"")]
    assert decoder.malformed == 1


def test_line_that_is_held_down_between_two_frames_costs_neither() -> None:
    decoder = SlcanDecoder()
    for turn in range(1, 4):
        frames = decoded(decoder, b"t1230\r" + bytes(1000)) + decoded(decoder, b"t1230\r")
        assert frames == [Frame(STAMP, 0x123, 0, b"")] * 2
        assert decoder.malformed == turn


REMOTE = [
    b"r1230", b"r1238", b"R000001238", b"r12381122334455667788", b"R000001232AABB", b"r1232AABB04D2", b"r123204D2",
    b"r1230EA60", b"r12300001E240", b"r1232AABB0001E240", b"r123F1122334455667788", b"r 123 2 aa bb",
]  # fmt: skip


@pytest.mark.parametrize("line", REMOTE, ids=map(repr, REMOTE))
def test_remote_frame_with_or_without_data_and_stamp_is_a_remote_frame(line: bytes) -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, line + b"\r\n") == []
    assert (decoder.remote_frames, decoder.malformed) == (1, 0)


@pytest.mark.parametrize("stamp", [b"EA60", b"FFFF", b"ea60", b"0001E240", b"FFFFFFFF"])
def test_stamp_that_the_book_does_not_know_costs_the_stamp_alone(stamp: bytes) -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, b"t1231AB" + stamp + b"\rT000001230" + stamp + b"\r") == [
        Frame(STAMP, 0x123, 0, b"\xab"), Frame(STAMP, 0x123, EXTENDED, b""),
    ]  # fmt: skip
    assert decoder.malformed == 0
    assert decoder.unusable_stamps > 0


@pytest.mark.parametrize("stamp", [b"1", b"9C", b"3E7"])
def test_stamp_without_leading_zeros_costs_the_stamp_alone_once_stamps_are_known(stamp: bytes) -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, b"t1231AB" + stamp + b"\r") == []
    assert decoder.malformed == 1, "without stamps, this is a line that is damaged"
    decoded(decoder, b"t12303A98\r", STAMP)
    assert decoded(decoder, b"t1231AB" + stamp + b"\r", LATER) == [Frame(LATER, 0x123, 0, b"\xab")]
    assert (decoder.malformed, decoder.unusable_stamps) == (1, 1)


MERGED = [
    (b"t1232AABBt1231CC", ["AABB", "CC"], 0),
    (b"t1232AAt1231CC", ["CC"], 1),
    (b"t12t1231CC", ["CC"], 1),
    (b"t1232AABBT000001231CCt1230", ["AABB", "CC", ""], 0),
    (b"T0000012t1231CC", ["CC"], 1),
    (b"d12311Et1231CC", ["1E", "CC"], 0),
    (b"t1232AAr1230t1231CC", ["CC"], 1),
    (b"t1232AABBt12", ["AABB"], 1),
    (b"start1000", [], 1),
    (b"t1232AABB:t1231CC", [], 1),
]


@pytest.mark.parametrize(("line", "data", "malformed"), MERGED)
def test_frames_whose_line_end_is_lost_are_found_in_order(
    line: bytes, data: list[str], malformed: int
) -> None:
    decoder = SlcanDecoder()
    found = decoded(decoder, b"t123101\r" + line + b"\rt123102\r")
    assert [frame.data.hex().upper() for frame in found] == ["01", *data, "02"]
    assert decoder.malformed == malformed


def test_counter_that_goes_on_to_its_16_bits_keeps_its_distances_over_their_end() -> None:
    decoder = SlcanDecoder()
    decoded(decoder, b"t1230FFFF\r", STAMP)
    before, after = decoded(decoder, b"t1230FFFE\rt12300008\r", LATER)
    assert after.timestamp_us - before.timestamp_us == 10_000
    assert decoder.unusable_stamps == 1


def test_stamps_do_not_run_backwards_behind_a_remote_frame_for_readers_inside_the_machine() -> None:
    decoder = SlcanDecoder()
    decoder.internal = True
    decoded(decoder, b"t12303A98\r", STAMP)
    whole = decoder.decode(b"t12304268\rr1230\rt12304268\r", LATER + 15_000).whole()
    stamps = [int.from_bytes(whole.packets[at : at + 8]) for at in range(0, len(whole.packets), 14)]
    assert stamps == [LATER, LATER + 15_000, LATER + 15_000]


def test_arrivals_of_frames_without_stamps_follow_the_hosts_clock_back() -> None:
    decoder = SlcanDecoder()
    assert [decoded(decoder, b"t1230\r", now)[0].timestamp_us for now in (LATER, STAMP)] == [LATER, STAMP]


def test_frame_without_a_stamp_gets_its_arrival_also_behind_a_frame_with_a_stamp() -> None:
    decoder = SlcanDecoder()
    decoded(decoder, b"t12303A98\r", STAMP)  # 15,000 ms
    text = b"t12304268\rt1230\rT000001230\rt12304268\rt1230\r"  # 17,000 ms, 15 ms ago
    stamps = [frame.timestamp_us for frame in decoded(decoder, text, LATER + 15_000)]
    assert stamps == [LATER, *[LATER + 15_000] * 4], "and stamps never run backwards"
