"""`dump --errors`: lines of remote and error frames, and the filters for them. The lab compares them with candump's."""

from __future__ import annotations

import json

import pytest

from cancorderd.cli.ctl.candump_filters import split
from cancorderd.cli.ctl.candump_format import CandumpWriter
from cancorderd.cli.ctl.dump_sources import open_sources
from cancorderd.cli.ctl.frame_lines import line_format
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit
from cancorderd.protocol.frame import ERROR, EXTENDED, REMOTE, Frame
from cancorderd.signals.signal_decoder import SignalDecoder

T = 1_700_000_000_123_456
CASES = [
    (Frame(T, 0x123, REMOTE, bytes(4)), "  can0  123   [4]  remote request", "can0 123#R4"),
    (Frame(T, 0x123, REMOTE | EXTENDED, b""), "  can0  00000123   [0]  remote request", "can0 00000123#R"),
    (
        Frame(T, 0x44, ERROR, bytes.fromhex("000C000000008800")),
        "  can0  20000044   [8]  00 0C 00 00 00 00 88 00   ERRORFRAME",
        "can0 20000044#000C000000008800",
    ),
]


@pytest.mark.parametrize(("frame", "line", "log"), CASES)
def test_lines(frame: Frame, line: str, log: str) -> None:
    assert CandumpWriter(4).line("can0", frame) == line
    assert CandumpWriter(4, log=True).line("can0", frame) == f"(1700000000.123456) {log}"


def test_formats_of_lines() -> None:
    frame, line, log = CASES[0]
    assert line_format(4, {}, as_json=False, log=False, stamps="")("can0", frame) == line
    assert line_format(4, {}, as_json=False, log=True, stamps="")("can0", frame) == (
        f"(1700000000.123456) {log}"
    )


def test_lines_have_the_signals_of_their_source(tmp_path: object) -> None:
    database = f"{tmp_path}/car.dbc"
    with open(database, "w", encoding="ascii") as file:
        file.write('VERSION ""\nBU_: A\nBO_ 68 M: 8 A\n SG_ Speed : 0|8@1+ (1,0) [0|255] "km/h" A\n')
    decoders = {"can0": SignalDecoder([database])}
    frame = Frame(T, 0x44, 0, bytes([7, *bytes(7)]))
    line = line_format(4, decoders, as_json=False, log=False, stamps="")
    assert "Speed" in line("can0", frame)
    assert "Speed" not in line("can1", frame), "another source without a database"
    assert line("can0", frame).startswith("  can0  044   [8]  07 00 00 00 00 00 00 00")
    as_json = line_format(4, decoders, as_json=True, log=False, stamps="")
    assert "Speed" in as_json("can0", frame)
    assert "Speed" not in as_json("can1", frame)


def test_json() -> None:
    line = line_format(4, {}, as_json=True, log=False, stamps="")
    remote, _, error = (json.loads(line("can0", frame)) for frame, _, _ in CASES)
    assert (remote["remote"], remote["dlc"], remote["data"]) == (True, 4, "")
    assert (error["error_frame"], error["id"], error["data"]) == (True, 0x44, "000c000000008800")


def test_error_frame_is_no_message_of_a_database(tmp_path: object) -> None:
    database = f"{tmp_path}/car.dbc"
    with open(database, "w", encoding="ascii") as file:
        file.write('VERSION ""\nBU_: A\nBO_ 68 M: 8 A\n SG_ S : 0|8@1+ (1,0) [0|255] "" A\n')
    decoder = SignalDecoder([database])
    assert decoder.decode(Frame(T, 0x44, 0, bytes(8)))
    assert decoder.decode(Frame(T, 0x44, ERROR, bytes(8))) is None
    assert decoder.decode(Frame(T, 0x44, REMOTE, bytes(8))) is None


@pytest.mark.parametrize(
    ("filters", "passed"),
    [
        ("", [True, True, True]),
        (",123:7FF", [True, True, True]),
        (",7FF:7FF", [False, False, True]),
        (",#40", [True, True, True]),
        (",#80", [True, True, False]),
        (",7FF:7FF,#4", [False, False, True]),
        (",#0", [True, True, False]),
    ],
)
def test_filters(filters: str, passed: list[bool]) -> None:
    _, found = split(f"body{filters}", errors=True)
    assert [found.passes(frame) for frame, _, _ in CASES] == passed


def test_filter_for_error_frames_needs_the_option() -> None:
    with pytest.raises(ValueError, match="Add --errors"):
        split("body,#4")


@pytest.mark.parametrize("name", ["localhost:42420", "zeroconf:body", "[::1]:5"])
def test_other_sources_are_wrong_usage(name: str) -> None:
    with pytest.raises(ControlError, match="error frames are never sent over the network") as caught:
        open_sources([name], None, errors=True)
    assert caught.value.status == Exit.USAGE
