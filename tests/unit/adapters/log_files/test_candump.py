from __future__ import annotations

import pytest

from cancorderd.adapters.log_files.candump import CandumpParser
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.text_log import text_entries
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD

DATA, REMOTE, ERROR = Kind.DATA, Kind.REMOTE, Kind.ERROR

CODES = {"(1.5) can0 123#R8_E": 14, "(1.5) can0 123#R5": 5, " (1.5)  can0  123   [7]  remote request": 7}

FRAMES = {
    "(1.5) can0 123#1122": (1.5, DATA, 0x123, 0, "1122", "can0"),
    "  (0000000001.500000)  can0  123#11.22  ": (1.5, DATA, 0x123, 0, "1122", "can0"),
    "(1.5) can0 123#": (1.5, DATA, 0x123, 0, "", "can0"),
    "(1.5) 123#1122": (1.5, DATA, 0x123, 0, "1122", ""),
    "(-1.5) can1 7FF#AA": (-1.5, DATA, 0x7FF, 0, "AA", "can1"),
    "(1e9) slcan0 00000123#aa R": (1e9, DATA, 0x123, EXTENDED, "aa", "slcan0"),
    "(1.5) can0 1FFFFFFF#AA T": (1.5, DATA, 0x1FFF_FFFF, EXTENDED, "AA", "can0"),
    "(1.5) can0 98FF1234#AA": (1.5, DATA, 0x18FF_1234, EXTENDED, "AA", "can0"),
    "(1.5) can0 123#1122334455667788_C": (1.5, DATA, 0x123, 0, "1122334455667788", "can0"),
    "(1.5) can0 123#R": (1.5, REMOTE, 0x123, 0, "", "can0"),
    "(1.5) can0 123#R8_E": (1.5, REMOTE, 0x123, 0, "", "can0"),
    "(1.5) can0 123#R5": (1.5, REMOTE, 0x123, 0, "", "can0"),
    "(1.5) can0 20000004#0004000000000000": (1.5, ERROR, 4, 0, "0004000000000000", "can0"),
    "(1.5) can0 123##0": (1.5, DATA, 0x123, FD, "", "can0"),
    "(1.5) can0 123##3112233": (1.5, DATA, 0x123, FD | BRS | ESI, "112233", "can0"),
    "(1.5) can0 123##1112233": (1.5, DATA, 0x123, FD | BRS, "112233", "can0"),
    "(1.5) can0 123##2112233": (1.5, DATA, 0x123, FD | ESI, "112233", "can0"),
    "(1.5) can0 123##4112233": (1.5, DATA, 0x123, FD, "112233", "can0"),
    "(1.5) can0 123##F112233": (1.5, DATA, 0x123, FD | BRS | ESI, "112233", "can0"),
    "(1.5) can0 12345678##D11": (1.5, DATA, 0x1234_5678, EXTENDED | FD | BRS, "11", "can0"),
    "(2020-01-01 00:00:01.500000) can0 123#11": (1_577_836_801.5, DATA, 0x123, 0, "11", "can0"),
    " (1.5)  can0  123   [3]  11 22 33": (1.5, DATA, 0x123, 0, "112233", "can0"),
    " (1.5)  can0  RX - -  00000123   [2] {C}  11 22   '.\"'": (1.5, DATA, 0x123, EXTENDED, "1122", "can0"),
    " (1.5)  can0  123  [02]  11 22": (1.5, DATA, 0x123, FD, "1122", "can0"),
    " (1.5)  can0  123   [7]  remote request": (1.5, REMOTE, 0x123, 0, "", "can0"),
    " (1.5)  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME": (1.5, ERROR, 4, 0, "0004000000000000", "can0"),
}  # fmt: skip

FLAWS = {
    "(1.5) can0 12#1": "no bytes in hexadecimal",
    "(1.5) can0 123#112": "no bytes in hexadecimal",
    "(1.5) can0 123#11(1.6) can0 124#22": "no frame: ",
    "(1.5) can0 123##": "without flags",
    "(1.5) can0 123#R5x": "no bytes in hexadecimal",
    "(1.5) can0 123#R8_8": "no bytes in hexadecimal",
    "(nan) can0 123#11": '"nan" is no time',
    f"({'9' * 400}) can0 123#11": "is no time",
    "(1,5) can0 123#11": '"1,5" is no time',
    "(2020-13-01 00:00:00) can0 123#11": "is no time",
    "(1.5) can0 XYZ#11": "no frame: ",
    "(1.5) can0 00123#81:00:00000000#1122": "a CAN XL frame, which the protocol cannot carry",
    "  can0  123   [3]  11 22 33": "a frame without a time, as candump prints it without -L",
    " (1.5)  can0  123   [3]  11 22": "2 of 3 bytes",
    "not a log": 'no frame: "not a log"',
    "\x1b[31m": 'no frame: "?[31m"',
}

NOTHING = ["", "   ", "# a comment", "; another", "// and another"]


@pytest.mark.parametrize("line", FRAMES)
def test_frame(line: str) -> None:
    frame = CandumpParser().frame(7, line)
    assert frame is not None
    stamp_s, kind, arbitration_id, flags, data, channel = FRAMES[line]
    assert frame == LogFrame(
        7, stamp_s, kind, arbitration_id, flags, bytes.fromhex(data), channel, CODES.get(line, 0)
    )


@pytest.mark.parametrize("line", FLAWS)
def test_flaw(line: str) -> None:
    (flaw,) = text_entries(CandumpParser(), [line.encode() + b"\n"])
    assert isinstance(flaw, Flaw)
    assert FLAWS[line] in flaw.fact


@pytest.mark.parametrize("line", NOTHING)
def test_line_that_is_meant_to_hold_no_frame(line: str) -> None:
    assert CandumpParser().frame(1, line) is None


CUT = {
    "a frame shorter than the last of its id": (["(1) can0 123#1122", "(2) can0 123#11"], True),
    "a frame of the same length": (["(1) can0 123#1122", "(2) can0 123#3344"], False),
    "a longer frame": (["(1) can0 123#11", "(2) can0 123#3344"], False),
    "a new id, shorter than all": (["(1) can0 123#1122", "(2) can0 124#1122", "(3) can0 125#11"], True),
    "a new id among many lengths": (["(1) can0 123#1122", "(2) can0 124#112233", "(3) can0 125#11"], False),
    "no direction where all have one": (["(1) can0 123#11 R", "(2) can0 123#11"], True),
    "a direction as all": (["(1) can0 123#11 R", "(2) can0 123#11 T"], False),
    "the only line": (["(1) can0 123#11"], False),
}


@pytest.mark.parametrize("case", CUT)
def test_last_line_without_an_end(case: str) -> None:
    lines, is_cut = CUT[case]
    entries = list(text_entries(CandumpParser(), ["\n".join(lines).encode()]))
    assert len(entries) == len(lines)
    assert isinstance(entries[-1], Flaw) == is_cut
