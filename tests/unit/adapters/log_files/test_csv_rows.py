from __future__ import annotations

import base64

import pytest

from cancorderd.adapters.log_files.csv_rows import CsvParser
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.text_log import text_entries
from cancorderd.protocol.frame import EXTENDED, FD

HEADER = "timestamp,arbitration_id,extended,remote,error,dlc,data"
ROW = "1.5,0x123,0,0,0,2,ESI="


def entries(*lines: str) -> list[LogFrame | Flaw]:
    return list(text_entries(CsvParser(), ["".join(f"{line}\n" for line in lines).encode()]))


@pytest.mark.parametrize("lines", [(HEADER, ROW), (ROW,), ("", "# a comment", HEADER, ROW)])
def test_first_row_is_a_frame_with_and_without_a_header(lines: tuple[str, ...]) -> None:
    (frame,) = entries(*lines)
    assert isinstance(frame, LogFrame)
    assert frame[1:6] == (1.5, Kind.DATA, 0x123, 0, b"\x11\x22")


def test_header_with_other_columns_is_a_flaw() -> None:
    (flaw,) = entries("timestamp,id,data")
    assert isinstance(flaw, Flaw)
    assert flaw.fact.startswith(f"columns other than {HEADER}")


@pytest.mark.parametrize(
    ("row", "kind", "flags", "code", "size"),
    [
        ("1.5,0x123,1,0,0,2,ESI=", Kind.DATA, EXTENDED, 0, 2),
        (f"1.5,0x123,0,0,0,8,{base64.b64encode(bytes(8)).decode()}", Kind.DATA, 0, 0, 8),
        (f"1.5,0x123,0,0,0,12,{base64.b64encode(bytes(12)).decode()}", Kind.DATA, FD, 0, 12),
        (f"1.5,0x123,1,0,0,12,{base64.b64encode(bytes(12)).decode()}", Kind.DATA, EXTENDED | FD, 0, 12),
        ("1.5,0x123,1,1,0,5,", Kind.REMOTE, EXTENDED, 5, 0),
        ("1.5,0x4,0,0,1,8,", Kind.ERROR, 0, 8, 0),
    ],
)
def test_kinds_of_frames(row: str, kind: Kind, flags: int, code: int, size: int) -> None:
    (frame,) = entries(HEADER, row)
    assert isinstance(frame, LogFrame)
    assert (frame.kind, frame.flags, frame.code, len(frame.data)) == (kind, flags, code, size)


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ("1.5,0x123,0,0,0,2", "6 columns, not"),
        ("1.5,0x123,0,0,0,3,ESI=", "2 of 3 bytes"),
        ("1.5,0x123,0,0,0,2,ES", "is not base64"),
        ("noon,0x123,0,0,0,2,ESI=", "is no time"),
        (HEADER, "is no time"),
    ],
)
def test_flaw(row: str, fact: str) -> None:
    first, flaw, last = entries(ROW, row, ROW)
    assert isinstance(first, LogFrame)
    assert isinstance(last, LogFrame)
    assert isinstance(flaw, Flaw)
    assert fact in flaw.fact
