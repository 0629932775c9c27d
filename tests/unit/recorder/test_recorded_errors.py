"""Remote and error frames in recordings: written in each format, and counted apart from data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import can
import pytest

from cancorderd.config.record_settings import RecordSettings
from cancorderd.protocol.frame import ERROR, EXTENDED, REMOTE, Frame
from cancorderd.recorder.log_file import LogFile
from cancorderd.recorder.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

START_US = 1_795_365_990_000_000
DETAIL = bytes.fromhex("0004000000000000")
SENT = [
    Frame(START_US, 4, ERROR, DETAIL),
    Frame(START_US + 1000, 0x123, 0, b"\x01"),
    Frame(START_US + 2000, 0x123, REMOTE, bytes(4)),
    Frame(START_US + 3000, 0x12345, EXTENDED | REMOTE, b""),
    Frame(START_US + 4000, 0x80, ERROR, bytes(8)),
    Frame(START_US + 5000, 0x124, 0, b"\x02"),
]


def test_log_has_them_as_candump_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "body.log"
    file = LogFile(str(path), "log", "can0")
    for frame in SENT:
        file.write(frame)
    file.close()
    assert [line.split(" ", 1)[1] for line in path.read_text().splitlines()] == [
        "can0 20000004#0004000000000000",
        "can0 123#01 R",
        "can0 123#R4 R",
        "can0 00012345#R R",
        "can0 20000080#0000000000000000",
        "can0 124#02 R",
    ]


@pytest.mark.parametrize("file_format", ["asc", "blf"])
def test_python_can_reads_them_back(file_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"body.{file_format}"
    file = LogFile(str(path), file_format, "can0")
    for frame in SENT:
        file.write(frame)
        file.checkpoint()
    assert (file.frames, file.errors, file.safe_frames, file.safe_errors) == (2, 4, 2, 4)
    file.close()
    with can.LogReader(path) as reader:
        messages = list(reader)
    kinds = [(message.is_error_frame, message.is_remote_frame) for message in messages]
    assert kinds == [
        (True, False),
        (False, False),
        (False, True),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert [messages[index].dlc for index in (2, 3)] == [4, 0]


def test_file_with_error_frames_alone_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "body.log"
    file = LogFile(str(path), "log", "can0")
    file.write(SENT[0])
    file.checkpoint()
    file.give_up()
    assert path.read_text().count("\n") == 1


def test_recorder_counts_them_apart(tmp_path: Path) -> None:
    recorder = Recorder("body", RecordSettings(directory=str(tmp_path)), "can0", lambda _notice: None)
    recorder.record(SENT)
    report = recorder.report()
    assert (report.frames, report.dropped, report.errors, report.errors_dropped) == (2, 0, 4, 0)
    recorder._give_up("the disk is full")
    recorder.record(SENT)
    report = recorder.report()
    assert (report.frames + report.dropped, report.errors + report.errors_dropped) == (4, 8)
    assert report.errors_dropped >= 4
