from __future__ import annotations

import pytest

from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.text_log import text_entries
from cancorderd.adapters.log_files.trc import TrcParser
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD

V1_0 = """; an old file has no version
     1)     17535  00000100  3  01 02 03
     2)     17540  FFFFFFFF  4  00 00 00 08 -- -- -- -- BUSHEAVY
     3)     17700      0100  2  04 05
     4)     17701      0704  1  RTR"""
V1_1 = """;$FILEVERSION=1.1
     1)     17535.4  Rx     00000100  3  01 02 03
     2)     17540.3  Warng  FFFFFFFF  4  00 00 00 08  BUSHEAVY
     3)     17700.3  Tx         0100  2  04 05
     4)     17701.3  Rx         0704  1  RTR"""
V1_2 = """;$FILEVERSION=1.2
     1)     17535.4 1  Rx    00000100 3  01 02 03
     2)     17700.3 2  Tx        0100 2  04 05
     3)     17701.3 1  Rx        0704 1  RTR"""
V1_3 = """;$FILEVERSION=1.3
     1)     17535.4 1  Rx    00000100 -  3    01 02 03
     2)     17700.3 2  Tx        0100 -  2    04 05
     3)     17701.3 1  Rx        0704 -  1    RTR"""
V2_0 = """;$FILEVERSION=2.0
;$COLUMNS=N,O,T,I,d,l,D
      1     17535.400 DT 00000100 Rx 3  01 02 03
      2     17540.300 ST          Rx    00 00 00 08
      3     17700.300 DT     0100 Tx 2  04 05
      4     17701.300 RR     0704 Rx 1"""
V2_1 = """;$FILEVERSION=2.1
;$COLUMNS=N,O,T,B,I,d,R,L,D
      1     17535.400 DT 1  00000100 Rx -  3    01 02 03
      2     17540.300 ST 1         - Rx -  4    00 00 00 08
      3     17700.300 DT 2      0100 Tx -  2    04 05
      4     17701.300 RR 1      0704 Rx -  1"""


@pytest.mark.parametrize("text", [V1_0, V1_1, V1_2, V1_3, V2_0, V2_1])
@pytest.mark.parametrize("end", ["", "\n"])
def test_every_version(text: str, end: str) -> None:
    found = list(text_entries(TrcParser(), [(text + end).encode()]))
    assert [entry[2:6] for entry in found] == [
        (Kind.DATA, 0x100, EXTENDED, b"\1\2\3"),
        (Kind.DATA, 0x100, 0, b"\4\5"),
        (Kind.REMOTE, 0x704, 0, b""),
    ]
    stamps = [entry.stamp_s for entry in found if isinstance(entry, LogFrame)]
    assert [stamp - stamps[0] for stamp in stamps] == pytest.approx([0, 0.165, 0.166], abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "flags"), [("FD", FD), ("FB", FD | BRS), ("FE", FD | BRS | ESI), ("BI", FD | ESI)]
)
def test_can_fd(kind: str, flags: int) -> None:
    data = "00 " * 12
    by_code = f";$FILEVERSION=2.1\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n 1 1.0 {kind} 1 0100 Rx - 9 {data}\n"
    by_length = f";$FILEVERSION=2.0\n;$COLUMNS=N,O,T,I,d,l,D\n 1 1.0 {kind} 0100 Rx 12 {data}\n"
    for text in (by_code, by_length):
        (frame,) = text_entries(TrcParser(), [text.encode()])
        assert isinstance(frame, LogFrame)
        assert (frame.flags, frame.data) == (flags, bytes(12))


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("1) 10 0100 8 01 02", "2 of 8 bytes"),
        ("1) 10 0100", "no whole event"),
        ("1) x 0100 1 01", "is no time"),
        ("1) 10 01G0 1 01", "no frame of PEAK's .trc"),
        ("hello there", "no event"),
        ("1)", "no event"),
    ],
)
def test_flaw(line: str, fact: str) -> None:
    (flaw,) = text_entries(TrcParser(), [f"{line}\n".encode()])
    assert isinstance(flaw, Flaw)
    assert fact in flaw.fact


@pytest.mark.parametrize("text", [V1_0, V1_1, V1_2, V1_3, V2_0, V2_1])
def test_stamps_are_seconds_and_every_frame_has_its_channel(text: str) -> None:
    found = [entry for entry in text_entries(TrcParser(), [text.encode()]) if isinstance(entry, LogFrame)]
    frames = [entry for entry in found if entry.kind is not Kind.ERROR]
    assert [round(frame.stamp_s, 1) for frame in frames] == [17.5, 17.7, 17.7]
    with_channels = text in (V1_2, V1_3, V2_1)
    assert [frame.channel for frame in frames] == (["1", "2", "1"] if with_channels else ["", "", ""])


def test_stamp_of_a_long_log_is_in_seconds() -> None:
    (frame,) = text_entries(TrcParser(), [b";$FILEVERSION=1.1\n     1)  86400000.5  Rx     0100  1  01\n"])
    assert isinstance(frame, LogFrame)
    assert frame.stamp_s == pytest.approx(86_400.0005, abs=1e-6)


@pytest.mark.parametrize(
    ("event", "kind"), [("DT", Kind.DATA), ("FD", Kind.DATA), ("RR", Kind.REMOTE), ("ER", Kind.ERROR)]
)
def test_the_number_of_the_bus_is_the_channel(event: str, kind: Kind) -> None:
    text = f";$FILEVERSION=2.1\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n 1 1.0 {event} 2 0100 Rx - 1 00\n"
    (frame,) = text_entries(TrcParser(), [text.encode()])
    assert isinstance(frame, LogFrame)
    assert (frame.kind, frame.channel) == (kind, "2")
