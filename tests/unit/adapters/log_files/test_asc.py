from __future__ import annotations

import pytest

from cancorderd.adapters.log_files.asc import AscParser
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.text_log import text_entries
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD

DATA, REMOTE, ERROR = Kind.DATA, Kind.REMOTE, Kind.ERROR


def entries(text: str) -> list[LogFrame | Flaw]:
    return list(text_entries(AscParser(), [text.encode()]))


FRAMES = {
    "0.5 1  123 Rx d 2 11 22  Length = 240015 BitCount = 124 ID = 1785": (DATA, 0x123, 0, "1122"),
    "0.5 1  18EBFF00x       Rx   d 2 01 A0": (DATA, 0x18EB_FF00, EXTENDED, "01A0"),
    "0.5 2 123 Tx d 0": (DATA, 0x123, 0, ""),
    "0.5 1 3FF Tx d D 55 AA 01 02 03 04 05 06  Length = 232016": (DATA, 0x3FF, 0, "55AA010203040506"),
    "0,5 1 123 Rx d 1 11": (DATA, 0x123, 0, "11"),
    "0.5 3 200 Tx r Length = 1704000 BitCount = 145 ID = 88888888x": (REMOTE, 0x200, 0, ""),
    "0.5 3 200 Tx r 8": (REMOTE, 0x200, 0, ""),
    "0.5 1 ErrorFrame ECC: 10100010": (ERROR, 0, 0, ""),
    "0.5 CANFD 1 Rx ErrorFrame": (ERROR, 0, 0, ""),
    "0.5 CANFD 62 Rx 7d Brake_4 1 0 2 2 01 1b 104812 132 323000": (DATA, 0x7D, FD | BRS, "011b"),
    "0.5 CANFD 62 Rx 167x 0 1 2 2 01 1b 104812 132 323000": (DATA, 0x167, EXTENDED | FD | ESI, "011b"),
    "0.5 CANFD 62 Rx 167 0 0 0 0 104812 132 323000": (DATA, 0x167, FD, ""),
    "0.5 CANFD 3 Tx 50005x 0 1 5 0 140000 73 200050": (REMOTE, 0x5_0005, EXTENDED, ""),
}

NOTHING = """date Sam Sep 30 15:06:13.191 2017
base hex  timestamps absolute
no internal events logged
// version 9.0.0
Begin Triggerblock Sam Sep 30 15:06:13.191 2017
   0.000000 Start of measurement
   0.015991 CAN 1 Status:chip status error passive - TxErr: 132 RxErr: 0
   1.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%
   3.297743 1  J1939TP FEE3p        6    0  0   -   Rx   d 23 A0 0F
   3.3 Li 12 Rx 2 11 22 checksum = 33
   3.4 1 OverloadFrame
   3.5 1 123 TxRq d 1 11
End TriggerBlock"""

FLAWS = {
    "0.5 1 123 Rx": "no whole event",
    "0.5 1 123 Rx d": "no length",
    "0.5 1 123 Rx d 8 11 22": "2 of 8 bytes",
    "0.5 1 12G Rx d 1 11": "no frame of Vector's .asc",
    "0.5 1 123 Rx d 1 111": "no frame of Vector's .asc",
    "0.5 CANFD 1 Rx 123 0 0": "no whole event",
    "0.5 CANFD 1 Rx 123 0 0 9 12 11": "1 of 12 bytes",
    "0.5 CANXL 1 Rx": "a CAN XL frame",
    "hello": 'no event: "hello"',
}


@pytest.mark.parametrize("line", FRAMES)
def test_frame(line: str) -> None:
    (frame,) = entries(f"   {line}\n")
    assert isinstance(frame, LogFrame)
    kind, arbitration_id, flags, data = FRAMES[line]
    assert frame[1:6] == (0.5, kind, arbitration_id, flags, bytes.fromhex(data))


def test_other_events_are_no_flaws() -> None:
    assert entries(NOTHING) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("0.5 3 200 Tx r 8", 8),
        ("0.5 3 200 Tx r Length = 1704000 BitCount = 145 ID = 88888888x", 0),
        ("0.5 CANFD 3 Tx 50005x 0 1 5 0 140000 73 200050", 5),
    ],
)
def test_remote_frame_has_its_code(line: str, code: int) -> None:
    (frame,) = entries(f"{line}\n")
    assert isinstance(frame, LogFrame)
    assert (frame.kind, frame.code) == (REMOTE, code)


@pytest.mark.parametrize("line", FLAWS)
def test_flaw(line: str) -> None:
    (flaw,) = entries(line + "\n")
    assert isinstance(flaw, Flaw)
    assert FLAWS[line] in flaw.fact


def test_first_frame_without_a_header_is_a_frame() -> None:
    assert len(entries("0.1 1 123 Rx d 1 11\n0.2 1 123 Rx d 1 12\n")) == 2


def test_decimal_base_behind_a_byte_order_mark() -> None:
    (frame,) = entries("\ufeffbase dec timestamps absolute\n0.1 1 100 Rx d 2 17 255\n")
    assert isinstance(frame, LogFrame)
    assert (frame.arbitration_id, frame.data) == (100, b"\x11\xff")


def test_relative_stamps_count_from_the_event_before() -> None:
    found = entries(
        "base hex timestamps relative\n0.1 1 1 Rx d 0\n0.2 Start of measurement\n0.3 1 2 Rx d 0\n"
    )
    assert [frame.stamp_s for frame in found if isinstance(frame, LogFrame)] == pytest.approx([0.1, 0.6])
