"""The Wireshark dissector on captures generated segment by segment: tshark shows exactly the sent frames."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

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
from cancorderd.protocol.packets import HEADER, encode, encode_all
from tests.e2e.contrib.captures import Stream, capture, pieces, segments
from tests.e2e.contrib.tools import require_commands
from tests.e2e.contrib.tshark import Tshark, expert_in, frames_in

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW_US = 1_700_000_000_123_456
ELSEWHERE = 23_456
"""A port that is neither ours nor claimed by a dissector of Wireshark."""
NO_GUESSING = ("--disable-heuristic", "ecuconnect_tcp")


def filled(length: int) -> bytes:
    return bytes((7 * n + length) % 256 for n in range(length))


def sample() -> list[Frame]:
    """Return frames with every length, both kinds of id, every combination of flags."""
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
    """Return the frames that begin at offset `at` of the stream or later."""
    return [frame for frame, border in zip(SAMPLE, BORDERS, strict=False) if border >= at]


@pytest.fixture(scope="module")
def tshark() -> Iterator[Tshark]:
    require_commands("tshark")
    with Tshark() as program:
        yield program


def by_stream(tshark: Tshark, streams: list[Stream], *options: str) -> list[list[Frame]]:
    """Return the frames of each stream, after a check that there is no expert information."""
    shown_frames: list[list[Frame]] = [[] for _ in streams]
    for shown in tshark.shown(capture(streams), *options):
        assert not shown.expert
        shown_frames[shown.stream] += shown.frames
    return shown_frames


@pytest.mark.parametrize("size", [1, 2, 7, 13, 14, 15, 22, 61, 97, 1460])
def test_every_field_of_every_frame_is_shown_in_segments_of_any_size(tshark: Tshark, size: int) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, size))])) == SAMPLE


def test_segments_may_be_cut_at_any_byte(tshark: Tshark) -> None:
    few = [frame for frame in SAMPLE if len(frame.data) in (3, 20)]
    data = encode_all(few)
    streams = [Stream(segments(data, cut), client=52_000 + cut) for cut in range(1, len(data))]
    assert by_stream(tshark, streams) == [few] * len(streams)


def test_two_passes_show_the_same_frames(tshark: Tshark) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, 97))]), "-2") == SAMPLE


def test_a_retransmission_is_shown_once(tshark: Tshark) -> None:
    first, second, *others = pieces(BYTES, 50)
    again = [first, second, second, first, *others[:5], *others]
    assert tshark.frames(capture([Stream(again)])) == SAMPLE


def test_segments_out_of_order_are_reordered_with_the_preference(tshark: Tshark) -> None:
    parts = pieces(BYTES, 50)
    parts[3], parts[4], parts[5] = parts[5], parts[3], parts[4]
    assert tshark.frames(capture([Stream(parts)]), "-o", "tcp.reassemble_out_of_order:TRUE") == SAMPLE


def test_without_the_preference_segments_out_of_order_lose_only_their_own_packets(
    tshark: Tshark,
) -> None:
    parts = pieces(BYTES, 50)
    parts[3], parts[4] = parts[4], parts[3]
    shown_frames = frames_in(tshark.shown(capture([Stream(parts)])))
    assert set(shown_frames) <= set(SAMPLE)
    assert set(from_border(300)) <= set(shown_frames)


def test_the_next_packet_after_a_missing_segment_is_found(tshark: Tshark) -> None:
    for lost in (1, 4, 9):
        parts = pieces(BYTES, 50)
        del parts[lost]
        shown = tshark.shown(capture([Stream(parts)]))
        shown_frames = frames_in(shown)
        whole = [
            frame
            for frame, start, end in zip(SAMPLE, BORDERS[:-1], BORDERS[1:], strict=True)
            if end <= 50 * lost or start >= 50 * (lost + 1)
        ]
        assert shown_frames == whole
        assert any("outside of packets" in message for message in expert_in(shown))


@pytest.mark.parametrize("port", [42420, ELSEWHERE])
def test_a_capture_may_begin_within_a_packet(tshark: Tshark, port: int) -> None:
    starts = list(range(0, 300, 7))
    streams = [Stream([(0, BYTES[at:])], port, client=52_000 + at) for at in starts]
    shown_frames: list[list[Frame]] = [[] for _ in streams]
    for shown in tshark.shown(capture(streams)):
        shown_frames[shown.stream] += shown.frames
    assert shown_frames == [from_border(at) for at in starts]


def test_frames_of_truncated_packets_are_shown_as_far_as_captured(tshark: Tshark) -> None:
    parts = pieces(BYTES, 200)
    shown = tshark.shown(capture([Stream(parts)], snap=54 + 100))
    shown_frames = frames_in(shown)
    assert (
        shown_frames[: BORDERS.index(max(b for b in BORDERS if b <= 100))]
        == SAMPLE[: len(from_border(0)) - len(from_border(100)) - 1]
    )
    assert set(shown_frames) <= set(SAMPLE)
    assert any("not captured" in message for message in expert_in(shown))


def test_without_reassembly_complete_packets_are_still_shown(tshark: Tshark) -> None:
    shown = tshark.shown(capture([Stream(pieces(BYTES, 100))]), "-o", "tcp.desegment_tcp_streams:FALSE")
    shown_frames = frames_in(shown)
    inside = [
        frame
        for frame, start, end in zip(SAMPLE, BORDERS[:-1], BORDERS[1:], strict=True)
        if start // 100 == (end - 1) // 100
    ]
    assert shown_frames == inside


def test_streams_are_recognized_by_their_content_on_any_port(tshark: Tshark) -> None:
    assert tshark.frames(capture([Stream(pieces(BYTES, 97), ELSEWHERE)])) == SAMPLE
    assert tshark.frames(capture([Stream(pieces(BYTES, 97), ELSEWHERE)]), *NO_GUESSING) == []


def test_a_single_small_packet_is_enough_to_recognize_a_stream(tshark: Tshark) -> None:
    streams = [Stream([(0, encode(frame))], ELSEWHERE, client=52_000 + n) for n, frame in enumerate(SAMPLE)]
    assert by_stream(tshark, streams) == [[frame] for frame in SAMPLE]


def test_decode_as_selects_the_dissector(tshark: Tshark) -> None:
    pcap = capture([Stream(pieces(BYTES, 97), ELSEWHERE)])
    assert tshark.frames(pcap, *NO_GUESSING, "-d", f"tcp.port=={ELSEWHERE},ecuconnect") == SAMPLE


@pytest.mark.parametrize(
    ("ports", "known"), [("42420-42519", True), ("42520,23000-23999", True), ("42421", False), ("", False)]
)
def test_the_preference_selects_the_ports(tshark: Tshark, ports: str, known: bool) -> None:
    port = 42519 if "42519" in ports else ELSEWHERE
    shown_frames = tshark.frames(
        capture([Stream(pieces(BYTES, 97), port)]), *NO_GUESSING, "-o", f"ecuconnect.ports:{ports}"
    )
    assert shown_frames == (SAMPLE if known else [])


def foreign() -> list[bytes]:
    """Return the first bytes of other protocols."""
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
def test_streams_of_other_protocols_are_ignored(tshark: Tshark, port: int) -> None:
    streams = [Stream([(0, data)], port, client=52_000 + n) for n, data in enumerate(foreign())]
    taken = tshark.run(capture(streams), "-Y", "ecuconnect", "-T", "fields", "-e", "tcp.stream").split()
    assert [streams[int(stream)].segments for stream in taken] == []


def test_a_packet_within_other_bytes_is_not_enough_to_recognize_a_stream(tshark: Tshark) -> None:
    mixed = b"HTTP/1.1 200 OK\r\n\r\n" + encode(SAMPLE[8])
    assert tshark.frames(capture([Stream([(0, mixed)], ELSEWHERE)])) == []


def test_bytes_outside_of_packets_are_reported_in_a_known_stream(tshark: Tshark) -> None:
    shown = tshark.shown(capture([Stream([(0, BYTES), (len(BYTES), b"\xff" * 50)])]))
    assert [packet.expert for packet in shown] == [
        [],
        ["50 bytes outside of packets: the time stamp is invalid"],
    ]


def test_bytes_from_the_client_are_not_shown_as_packets(tshark: Tshark) -> None:
    back = Stream([(0, b"hello")], port=50_000, client=42420)
    assert "ECUconnect" not in tshark.run(capture([back]))


def broken(flags: int, length: int, data: bytes, arbitration_id: int = 0x123) -> bytes:
    return HEADER.pack(NOW_US, arbitration_id, flags, length) + data


@pytest.mark.parametrize(
    ("packet", "message"),
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
def test_a_malformed_packet_is_reported_and_the_following_packets_are_shown(
    tshark: Tshark, packet: bytes, message: str
) -> None:
    shown = tshark.shown(capture([Stream([(0, BYTES[: BORDERS[5]] + packet + BYTES[BORDERS[5] :])])]))
    assert [frame for packet in shown for frame in packet.can] == [
        frame._replace(timestamp_us=0) for frame in SAMPLE
    ]
    assert [text for text in expert_in(shown) if message in text]


def test_a_segment_with_more_frames_than_wireshark_has_layers_is_shown_completely(tshark: Tshark) -> None:
    many = [Frame(NOW_US + n, 0x100 + n, 0, b"a") for n in range(1000)]
    pcap = capture([Stream([(0, encode_all(many))])])
    (shown,) = tshark.shown(pcap)
    assert shown.frames == many
    assert 100 < len(shown.can) == len(many) - len(shown.expert)
    assert set(shown.expert) == {"Not passed to the CAN dissectors: raise the preference gui.max_tree_depth"}
    assert tshark.frames(pcap, "-o", "gui.max_tree_depth:5000") == many


def test_frames_after_an_error_in_a_can_dissector_are_shown(tshark: Tshark) -> None:
    # AUTOSAR's dissector, which handles id 0 by default, fails for a frame without payload.
    frames = [SAMPLE[0], Frame(NOW_US, 0), *SAMPLE[1:]]
    shown = tshark.shown(capture([Stream(pieces(encode_all(frames), 1000))]))
    assert frames_in(shown) == frames
    assert expert_in(shown) == ["A CAN dissector gave up: Malformed frame"]


def test_a_clock_before_2000_is_reported_and_the_frame_is_shown(tshark: Tshark) -> None:
    wrong = [frame._replace(timestamp_us=60_000_000 + n) for n, frame in enumerate(SAMPLE)]
    shown = tshark.shown(capture([Stream(pieces(encode_all(wrong), 100))]))
    assert frames_in(shown) == wrong
    assert any("clock" in message for message in expert_in(shown))


def test_a_frame_with_the_largest_time_stamp_does_not_hide_others(tshark: Tshark) -> None:
    last = Frame((1 << 64) - 1, 0x123, 0, b"abc")
    shown = tshark.shown(capture([Stream([(0, encode_all([*SAMPLE, last, *SAMPLE]))])]))
    assert [frame for packet in shown for frame in packet.can] == [
        frame._replace(timestamp_us=0) for frame in 2 * SAMPLE
    ]
    assert any("the time stamp is invalid" in message for message in expert_in(shown))


def test_the_info_column_shows_frames_in_candumps_notation(tshark: Tshark) -> None:
    frames = [
        Frame(NOW_US, 0x7E8, 0, bytes.fromhex("021003")),
        Frame(NOW_US, 0x7E8, EXTENDED, b""),
        Frame(NOW_US, 0x123, FD | BRS | ESI, b"\1"),
        Frame(NOW_US, 0x123, FD, b""),
    ]
    text = tshark.run(capture([Stream([(0, encode_all(frames))])]))
    assert "ECUconnect" in text
    assert text.rstrip().endswith(" 7E8#021003, 000007E8#, 123##301, 123##0")


def test_filters_of_can_apply_to_the_frames(tshark: Tshark) -> None:
    pcap = capture([Stream([(0, encode(frame))], client=52_000 + n) for n, frame in enumerate(SAMPLE)])
    for keep, wanted in (
        ("can.id == 0x104", [frame for frame in SAMPLE if frame.arbitration_id == 0x104]),
        ("canfd", [frame for frame in SAMPLE if frame.flags & FD]),
        ("can.flags.xtd == 1", [frame for frame in SAMPLE if frame.flags & EXTENDED]),
        ("can.len == 8", [frame for frame in SAMPLE if len(frame.data) == 8]),
        ("ecuconnect.flags.esi == 1", [frame for frame in SAMPLE if frame.flags & ESI]),
        ('ecuconnect.timestamp == "2023-11-14 22:13:20.123456Z"', SAMPLE[:1]),
        ("ecuconnect.data contains 07", [frame for frame in SAMPLE if b"\7" in frame.data]),
    ):
        assert tshark.frames(pcap, "-Y", keep) == wanted
