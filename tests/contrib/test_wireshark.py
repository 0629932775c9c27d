"""The Wireshark dissector, on captures made up segment by segment: what tshark shows is what was sent."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cancorderd.frame import BRS, DLC_LENGTHS, ESI, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID, Frame
from cancorderd.wire import HEADER, encode, encode_all
from tests.contrib.captures import Stream, capture, pieces, segments
from tests.contrib.tools import needed
from tests.contrib.tshark import Tshark

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW_US = 1_700_000_000_123_456
ELSEWHERE = 23_456
"""A port that is not ours and that no dissector of Wireshark's claims by its number alone."""
NO_GUESSING = ("--disable-heuristic", "ecuconnect_tcp")


def filled(length: int) -> bytes:
    return bytes((7 * n + length) % 256 for n in range(length))


def sample() -> list[Frame]:
    """Every length, both kinds of id, every combination of flags."""
    classic = [Frame(0, 0x100 + length, 0, filled(length)) for length in range(9)]
    extended = [Frame(0, 0x18DA_F110 + length, EXTENDED, filled(length)) for length in range(9)]
    fd = [Frame(0, 0x200 + length, FD, filled(length)) for length in DLC_LENGTHS]
    flags = [
        Frame(0, 0x123, FD | more, b"\1") for more in (BRS, ESI, BRS | ESI, EXTENDED, EXTENDED | BRS | ESI)
    ]
    ids = [Frame(0, 1), Frame(0, MAX_STANDARD_ID), Frame(0, 1, EXTENDED), Frame(0, MAX_EXTENDED_ID, EXTENDED)]
    zeros = [Frame(0, 0x7E8, 0, bytes(8)), Frame(0, 0x7E8, FD, bytes(64))]
    both = classic + extended + fd + flags + ids + zeros
    return [frame._replace(timestamp_us=NOW_US + 1_001 * n) for n, frame in enumerate(both)]


SAMPLE = sample()
BYTES = encode_all(SAMPLE)
BORDERS = [len(encode_all(SAMPLE[:n])) for n in range(len(SAMPLE) + 1)]


def from_border(at: int) -> list[Frame]:
    """The frames of which nothing comes before `at` in the stream."""
    return [frame for frame, border in zip(SAMPLE, BORDERS, strict=False) if border >= at]


@pytest.fixture(scope="module")
def tshark() -> Iterator[Tshark]:
    needed("tshark")
    with Tshark() as one:
        yield one


def by_stream(tshark: Tshark, streams: list[Stream], *options: str) -> list[list[Frame]]:
    """What each of `streams` shows, none with complaints."""
    found: list[list[Frame]] = [[] for _ in streams]
    for shown in tshark.shown(capture(streams), *options):
        assert not shown.expert
        found[shown.stream] += shown.frames
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 13, 14, 15, 22, 61, 97, 1460])
def test_every_field_of_every_frame_is_shown_in_segments_of_any_size(tshark: Tshark, size: int) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, size))])) == SAMPLE


def test_a_border_between_segments_may_be_anywhere(tshark: Tshark) -> None:
    few = [frame for frame in SAMPLE if len(frame.data) in (3, 20)]
    data = encode_all(few)
    streams = [Stream(segments(data, cut), client=52_000 + cut) for cut in range(1, len(data))]
    assert by_stream(tshark, streams) == [few] * len(streams)


def test_two_passes_as_wireshark_makes_them_show_the_same(tshark: Tshark) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, 97))]), "-2") == SAMPLE


def test_a_retransmission_is_shown_once(tshark: Tshark) -> None:
    first, second, *others = pieces(BYTES, 50)
    again = [first, second, second, first, *others[:5], *others]
    assert tshark.frames(capture([Stream(again)])) == SAMPLE


def test_segments_out_of_order_are_put_in_order(tshark: Tshark) -> None:
    parts = pieces(BYTES, 50)
    parts[3], parts[4], parts[5] = parts[5], parts[3], parts[4]
    assert tshark.frames(capture([Stream(parts)]), "-o", "tcp.reassemble_out_of_order:TRUE") == SAMPLE


def test_segments_out_of_order_without_wireshark_putting_them_in_order_cost_only_their_packets(
    tshark: Tshark,
) -> None:
    parts = pieces(BYTES, 50)
    parts[3], parts[4] = parts[4], parts[3]
    found = [frame for shown in tshark.shown(capture([Stream(parts)])) for frame in shown.frames]
    assert set(found) <= set(SAMPLE)
    assert set(from_border(300)) <= set(found)


def test_after_a_segment_that_the_capture_lacks_the_next_packet_is_found(tshark: Tshark) -> None:
    for lost in (1, 4, 9):
        parts = pieces(BYTES, 50)
        del parts[lost]
        shown = tshark.shown(capture([Stream(parts)]))
        found = [frame for one in shown for frame in one.frames]
        whole = [
            frame
            for frame, start, end in zip(SAMPLE, BORDERS[:-1], BORDERS[1:], strict=True)
            if end <= 50 * lost or start >= 50 * (lost + 1)
        ]
        assert found == whole
        assert any("no packet" in told for one in shown for told in one.expert)


@pytest.mark.parametrize("port", [42420, ELSEWHERE])
def test_a_capture_may_begin_within_a_packet(tshark: Tshark, port: int) -> None:
    starts = list(range(0, 300, 7))
    streams = [Stream([(0, BYTES[at:])], port, client=52_000 + at) for at in starts]
    found: list[list[Frame]] = [[] for _ in streams]
    for shown in tshark.shown(capture(streams)):
        found[shown.stream] += shown.frames
    assert found == [from_border(at) for at in starts]


def test_a_capture_that_keeps_the_first_bytes_of_each_packet_shows_what_is_there(tshark: Tshark) -> None:
    parts = pieces(BYTES, 200)
    shown = tshark.shown(capture([Stream(parts)], snap=54 + 100))
    found = [frame for one in shown for frame in one.frames]
    assert (
        found[: BORDERS.index(max(b for b in BORDERS if b <= 100))]
        == SAMPLE[: len(from_border(0)) - len(from_border(100)) - 1]
    )
    assert set(found) <= set(SAMPLE)
    assert any("not captured" in told for one in shown for told in one.expert)


def test_without_reassembly_whole_packets_are_shown_still(tshark: Tshark) -> None:
    shown = tshark.shown(capture([Stream(pieces(BYTES, 100))]), "-o", "tcp.desegment_tcp_streams:FALSE")
    found = [frame for one in shown for frame in one.frames]
    inside = [
        frame
        for frame, start, end in zip(SAMPLE, BORDERS[:-1], BORDERS[1:], strict=True)
        if start // 100 == (end - 1) // 100
    ]
    assert found == inside


def test_streams_are_known_by_their_look_on_any_port(tshark: Tshark) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, 97), ELSEWHERE)])) == SAMPLE
    assert tshark.frames(capture([Stream(pieces(BYTES, 97), ELSEWHERE)]), *NO_GUESSING) == []


def test_a_single_small_packet_is_enough_to_know_a_stream(tshark: Tshark) -> None:
    streams = [Stream([(0, encode(frame))], ELSEWHERE, client=52_000 + n) for n, frame in enumerate(SAMPLE)]
    assert by_stream(tshark, streams) == [[frame] for frame in SAMPLE]


def test_decode_as(tshark: Tshark) -> None:
    made = capture([Stream(pieces(BYTES, 97), ELSEWHERE)])
    assert tshark.frames(made, *NO_GUESSING, "-d", f"tcp.port=={ELSEWHERE},ecuconnect") == SAMPLE


@pytest.mark.parametrize(
    ("ports", "known"), [("42420-42519", True), ("42520,23000-23999", True), ("42421", False), ("", False)]
)
def test_the_preference_names_the_ports(tshark: Tshark, ports: str, known: bool) -> None:
    port = 42519 if "42519" in ports else ELSEWHERE
    found = tshark.frames(
        capture([Stream(pieces(BYTES, 97), port)]), *NO_GUESSING, "-o", f"ecuconnect.ports:{ports}"
    )
    assert found == (SAMPLE if known else [])


def foreign() -> list[bytes]:
    """What other protocols send first."""
    chance = random.Random(1)
    return [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        bytes.fromhex("16030100c8010000c40303") + chance.randbytes(192),
        bytes.fromhex("0006000000060103000a0001"), # Modbus, request
        bytes.fromhex("00060000000f01030c") + bytes(12), # Modbus, response
        bytes.fromhex("000600000008000603000c"), # begins like a time stamp
        bytes(1000), bytes([0, 6] * 500), bytes([0, 6, 10, 36]) * 250, b"\xff" * 1000,
        BYTES[8:14], b"\0", b"\0\6",
        *(b"\0\6" + chance.randbytes(chance.randrange(2, 200)) for _ in range(300)),
        *(b"\0\6\x0a\x24" + chance.randbytes(chance.randrange(2, 200)) for _ in range(300)),
        *(chance.randbytes(chance.randrange(1, 1400)) for _ in range(300)),
    ]  # fmt: skip


@pytest.mark.parametrize("port", [42420, ELSEWHERE])
def test_other_protocols_are_left_alone(tshark: Tshark, port: int) -> None:
    streams = [Stream([(0, data)], port, client=52_000 + n) for n, data in enumerate(foreign())]
    taken = tshark.run(capture(streams), "-Y", "ecuconnect", "-T", "fields", "-e", "tcp.stream").split()
    assert [streams[int(stream)].segments for stream in taken] == []


def test_one_packet_within_other_bytes_makes_no_stream_of_ours(tshark: Tshark) -> None:
    mixed = b"HTTP/1.1 200 OK\r\n\r\n" + encode(SAMPLE[8])
    assert tshark.frames(capture([Stream([(0, mixed)], ELSEWHERE)])) == []


def test_in_a_stream_that_is_known_bytes_without_any_packet_are_told(tshark: Tshark) -> None:
    shown = tshark.shown(capture([Stream([(0, BYTES), (len(BYTES), b"\xff" * 50)])]))
    assert [one.expert for one in shown] == [[], ["50 bytes that are no packet: its time stamp is none"]]


def test_what_a_client_sends_is_not_shown_as_packets(tshark: Tshark) -> None:
    back = Stream([(0, b"hello")], port=50_000, client=42420)
    assert "ECUconnect" not in tshark.run(capture([back]))


def broken(flags: int, length: int, data: bytes, arbitration_id: int = 0x123) -> bytes:
    return HEADER.pack(NOW_US, arbitration_id, flags, length) + data


@pytest.mark.parametrize(
    ("packet", "told"),
    [
        (broken(0x10, 1, b"a"), "flags are 0x10; bits above 0x0F have no meaning"),
        (broken(BRS, 1, b"a"), "flags are 0x04; BRS and ESI occur with FD only"),
        (broken(ESI, 1, b"a"), "flags are 0x08; BRS and ESI occur with FD only"),
        (broken(0, 1, b"a", 0x800), "arbitration id 0x800 is above 0x7FF"),
        (broken(EXTENDED, 1, b"a", 0x2000_0000), "arbitration id 0x20000000 is above 0x1FFFFFFF"),
        (broken(0, 9, bytes(9)), "9 bytes; a classic frame holds at most 8"),
        (broken(FD, 9, bytes(9)), "9 bytes; CAN FD has no such length"),
        (broken(FD, 65, bytes(65)), "65 bytes; CAN FD has no such length"),
    ],
)  # fmt: skip
def test_a_malformed_packet_is_told_and_the_next_ones_are_shown(
    tshark: Tshark, packet: bytes, told: str
) -> None:
    shown = tshark.shown(capture([Stream([(0, BYTES[: BORDERS[5]] + packet + BYTES[BORDERS[5] :])])]))
    assert [frame for one in shown for frame in one.can] == [
        frame._replace(timestamp_us=0) for frame in SAMPLE
    ]
    assert [text for one in shown for text in one.expert if told in text]


def test_a_segment_with_more_frames_than_wireshark_has_layers_is_shown_whole(tshark: Tshark) -> None:
    many = [Frame(NOW_US + n, 0x100 + n, 0, b"a") for n in range(1000)]
    made = capture([Stream([(0, encode_all(many))])])
    (shown,) = tshark.shown(made)
    assert shown.frames == many
    assert 100 < len(shown.can) == len(many) - len(shown.expert)
    assert set(shown.expert) == {"Not handed to the CAN dissectors: raise the preference gui.max_tree_depth"}
    assert tshark.frames(made, "-o", "gui.max_tree_depth:5000") == many


def test_where_a_can_dissector_gives_up_the_next_frames_are_shown(tshark: Tshark) -> None:
    # AUTOSAR's dissector, which by default takes id 0, breaks off at a frame without payload.
    frames = [SAMPLE[0], Frame(NOW_US, 0), *SAMPLE[1:]]
    shown = tshark.shown(capture([Stream(pieces(encode_all(frames), 1000))]))
    assert [frame for one in shown for frame in one.frames] == frames
    assert [told for one in shown for told in one.expert] == ["A CAN dissector gave up: Malformed frame"]


def test_a_clock_that_is_wrong_is_told_and_the_frame_shown(tshark: Tshark) -> None:
    wrong = [frame._replace(timestamp_us=60_000_000 + n) for n, frame in enumerate(SAMPLE)]
    shown = tshark.shown(capture([Stream(pieces(encode_all(wrong), 100))]))
    assert [frame for one in shown for frame in one.frames] == wrong
    assert any("clock" in told for one in shown for told in one.expert)


def test_the_latest_time_stamp_of_all_does_no_harm(tshark: Tshark) -> None:
    last = Frame((1 << 64) - 1, 0x123, 0, b"abc")
    shown = tshark.shown(capture([Stream([(0, encode_all([*SAMPLE, last, *SAMPLE]))])]))
    assert [frame for one in shown for frame in one.can] == [
        frame._replace(timestamp_us=0) for frame in 2 * SAMPLE
    ]
    assert any("its time stamp is none" in told for one in shown for told in one.expert)


def test_the_info_column_shows_frames_as_candump_does(tshark: Tshark) -> None:
    frames = [
        Frame(NOW_US, 0x7E8, 0, bytes.fromhex("021003")),
        Frame(NOW_US, 0x7E8, EXTENDED, b""),
        Frame(NOW_US, 0x123, FD | BRS | ESI, b"\1"),
        Frame(NOW_US, 0x123, FD, b""),
    ]
    text = tshark.run(capture([Stream([(0, encode_all(frames))])]))
    assert "ECUconnect" in text
    assert text.rstrip().endswith(" 7E8#021003, 000007E8#, 123##301, 123##0")


def test_can_filters_see_the_frames(tshark: Tshark) -> None:
    made = capture([Stream([(0, encode(frame))], client=52_000 + n) for n, frame in enumerate(SAMPLE)])
    for keep, wanted in (
        ("can.id == 0x104", [frame for frame in SAMPLE if frame.arbitration_id == 0x104]),
        ("canfd", [frame for frame in SAMPLE if frame.flags & FD]),
        ("can.flags.xtd == 1", [frame for frame in SAMPLE if frame.flags & EXTENDED]),
        ("can.len == 8", [frame for frame in SAMPLE if len(frame.data) == 8]),
        ("ecuconnect.flags.esi == 1", [frame for frame in SAMPLE if frame.flags & ESI]),
        ('ecuconnect.timestamp == "2023-11-14 22:13:20.123456Z"', SAMPLE[:1]),
        ("ecuconnect.data contains 07", [frame for frame in SAMPLE if b"\7" in frame.data]),
    ):
        assert tshark.frames(made, "-Y", keep) == wanted
