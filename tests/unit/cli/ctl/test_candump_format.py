"""Lines of frames. The lab test `guest/test_dump` compares them with those of candump itself."""

from __future__ import annotations

import time

import pytest

from cancorderd.cli.ctl.candump_format import CandumpWriter, Stamps
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, REMOTE, Frame

T = 1_700_000_000_123_456
BYTES_64 = bytes(range(64))

# From candump.c and lib.c of can-utils: a frame, its readable line, its log line.
CASES = [
    (Frame(T, 0x123, 0, b"\x11\x22"), "  can0  123   [2]  11 22", "can0 123#1122"),
    (Frame(T, 0x000, 0, b""), "  can0  000   [0] ", "can0 000#"),
    (Frame(T, 0x7FF, 0, b"\xff" * 8), "  can0  7FF   [8]  FF FF FF FF FF FF FF FF", "can0 7FF#FFFFFFFFFFFFFFFF"),
    (Frame(T, 0x123, EXTENDED, b"\xaa"), "  can0  00000123   [1]  AA", "can0 00000123#AA"),
    (Frame(T, 0x1FFFFFFF, EXTENDED, b""), "  can0  1FFFFFFF   [0] ", "can0 1FFFFFFF#"),
    (Frame(T, 0x1F0, FD, b"\xab"), "  can0  1F0  [01]  AB", "can0 1F0##4AB"),
    (Frame(T, 0x1F0, FD | BRS, b""), "  can0  1F0  [00] ", "can0 1F0##5"),
    (Frame(T, 0x1F0, FD | ESI, b"\0"), "  can0  1F0  [01]  00", "can0 1F0##600"),
    (Frame(T, 0x1F0, FD | BRS | ESI, b"\0" * 12), f"  can0  1F0  [12] {' 00' * 12}", f"can0 1F0##7{'00' * 12}"),
    (
        Frame(T, 0x1F0, EXTENDED | FD, BYTES_64),
        f"  can0  000001F0  [64]  {BYTES_64.hex(' ').upper()}",
        f"can0 000001F0##4{BYTES_64.hex().upper()}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "line", "log"), CASES)
def test_each_kind_of_frame(frame: Frame, line: str, log: str) -> None:
    assert CandumpWriter(4).line("can0", frame) == line
    assert CandumpWriter(4, log=True).line("can0", frame) == f"(1700000000.123456) {log}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"12345678", "31 32 33 34 35 36 37 38   '12345678'"),
        (b"a\x00\x7f~", "61 00 7F 7E               'a..~'"),
        (b"", f"{'':26}''"),
    ],
)
def test_bytes_as_text_stand_where_candump_has_them(data: bytes, text: str) -> None:
    line = CandumpWriter(4, with_text=True).line("can0", Frame(T, 0x123, 0, data))
    assert line == f"  can0  123   [{len(data)}]  {text}"


def test_remote_frames_and_long_frames_have_no_text() -> None:
    for frame in (Frame(T, 0x123, REMOTE, bytes(8)), Frame(T, 0x123, FD, bytes(12))):
        assert CandumpWriter(4, with_text=True).line("can0", frame) == CandumpWriter(4).line("can0", frame)


def test_standard_ids_are_indented_after_the_first_extended_id() -> None:
    writer = CandumpWriter(4)
    frames = [Frame(0, 1), Frame(0, 2, EXTENDED), Frame(0, 3, FD)]
    assert [writer.line("can0", frame) for frame in frames] == [
        "  can0  001   [0] ",
        "  can0  00000002   [0] ",
        "  can0       003  [00] ",
    ]


def test_labels_are_aligned_to_the_right() -> None:
    writer = CandumpWriter(10)
    assert writer.line("body", Frame(0, 1)) == "        body  001   [0] "
    assert writer.line("powertrain", Frame(0, 1)) == "  powertrain  001   [0] "
    assert CandumpWriter(6, log=True).line("can0", Frame(T, 1)) == "(1700000000.123456)   can0 001#"


@pytest.mark.parametrize(
    ("stamps", "log", "expected"),
    [
        ("a", False, ["(1700000000.123456)", "(1700000001.000000)", "(1700000000.999999)"]),
        ("d", False, ["(000.000000)", "(000.876544)", "(000.000000)"]),
        ("z", False, ["(000.000000)", "(000.876544)", "(000.876543)"]),
        ("", True, ["(1700000000.123456)", "(1700000001.000000)", "(1700000000.999999)"]),
        ("d", True, ["(1700000000.123456)", "(1700000001.000000)", "(1700000000.999999)"]),
        ("z", True, ["(000.000000)", "(000.876544)", "(000.876543)"]),
    ],
)
def test_time_stamps(stamps: Stamps, log: bool, expected: list[str]) -> None:
    writer = CandumpWriter(4, log=log, stamps=stamps)
    moments = (T, 1_700_000_001_000_000, 1_700_000_000_999_999)  # the last is earlier than the second
    lines = [writer.line("can0", Frame(at, 1)) for at in moments]
    assert [line.split()[0] for line in lines] == expected
    assert all(line.startswith("(" if log else " (") for line in lines)
    assert lines[0] == ("" if log else " ") + expected[0] + (" can0 001#" if log else "  can0  001   [0] ")


def test_time_stamps_with_the_date_are_local() -> None:
    line = CandumpWriter(4, stamps="A").line("can0", Frame(T, 1))
    assert line.startswith(
        f" ({time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(T // 1_000_000))}.123456)  can0"
    )


def test_no_time_stamp_by_default() -> None:
    assert CandumpWriter(4).line("can0", Frame(T, 1)).startswith("  can0  ")
