"""The exhibits of the museum of log files: each writes its file."""

from __future__ import annotations

import gzip
import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import can

from tests.firmware.exhibit import Exhibit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_FRAMES = 50


@dataclass(frozen=True, kw_only=True)
class LogExhibit(Exhibit):
    """A log file, and the keys with which it is replayed."""

    file: str
    make: Callable[[Path], object]
    """Write the file."""
    keys: Mapping[str, Any] = field(default_factory=dict)


def _lines(first: int = 0, end: int = _FRAMES, clock_s: float = 1_700_000_000.0) -> str:
    """Return lines of candump, ten milliseconds apart, each with its number."""
    return "".join(f"({clock_s + number / 100:.6f}) can0 123#{number:08X}\n" for number in range(first, end))


def _text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content.encode(encoding))


def _messages() -> list[can.Message]:
    return [
        can.Message(
            timestamp=1_700_000_000 + number / 100, arbitration_id=0x123, is_extended_id=False, channel=0,
            data=number.to_bytes(4, "big"),
        )
        for number in range(_FRAMES)
    ]  # fmt: skip


def _write(file: Path) -> bytes:
    """Write the log in the format of its suffix; return its contents. A database gets several pages."""
    with can.Logger(file) as writer:
        for message in _messages() * (10 if file.suffix == ".db" else 1):
            writer.on_message_received(message)
    return file.read_bytes()


def _cut(share: float, behind: bytes = b"") -> Callable[[Path], object]:
    """Return a maker of a file of which the rest is missing."""

    def make(file: Path) -> None:
        content = _write(file)
        file.write_bytes(content[: int(len(content) * share)] + behind)

    return make


def _cut_compressed(file: Path) -> None:
    content = gzip.compress(_lines().encode(), mtime=0)
    file.write_bytes(content[: len(content) * 3 // 4])


def _sizeless_object(file: Path) -> None:
    """Write a .blf whose objects are not packed in a container; the tenth claims a size of 0."""
    objects = []
    for number in range(_FRAMES):
        body = struct.pack("<LHHQ", 2, 0, 0, number * 10_000_000)
        body += struct.pack("<HBBL8s", 1, 0, 4, 0x123, number.to_bytes(4, "big"))
        size = 0 if number == 10 else len(body) + 16
        objects.append(struct.pack("<4sHHLL", b"LOBJ", 32, 1, size, 1) + body)
    file.write_bytes(struct.pack("<4sL", b"LOGG", 144).ljust(144, b"\0") + b"".join(objects))


def _asc(header: str, month: str = "Mar") -> str:
    frames = "".join(
        f"   {number / 100:.6f} 1  123             Rx   d 4 00 00 00 {number:02X}\n"
        for number in range(_FRAMES)
    )
    return f"date Mon {month} 3 15:06:13.191 2025\n{header}{frames}End TriggerBlock\n"


EXHIBITS = (
    LogExhibit(
        name="by the book",
        symptom="None: a log of `candump -L`.",
        came="running; 50 frames",
        file="drive.log",
        make=_text(_lines()),
    ),
    LogExhibit(
        name="power failure",
        symptom="The last line is cut, and blocks of zeros follow, which the file system had reserved.",
        came="running; 50 frames",
        said="drive.log:51: NUL bytes, as a power failure leaves them. Skipped. drive.log:51: the last line is cut: … "
        "Skipped. drive.log: 2 lines unreadable and skipped; frames played: 50. errors: 2",
        file="drive.log",
        make=_text(_lines() + "(1700000001.0" + "\0" * 4096),
    ),
    LogExhibit(
        name="one bad line",
        symptom="Two programs wrote to one file: a line has another in its middle.",
        came="running; 50 frames",
        said='drive.log:26: "1700000000.25000(1700000000.1" is no time. Skipped. … errors: 1',
        file="drive.log",
        make=_text(_lines(0, 25) + "(1700000000.25000(1700000000.1) can0 7FF#00\n" + _lines(25)),
    ),
    LogExhibit(
        name="no clock",
        symptom="A board without a battery: it counts from 1970 until it gets the time from the network.",
        came="running; 60 frames in 2 s",
        said="drive.log:11: a gap of more than 60 minutes before this frame is shortened to 1 s.",
        file="drive.log",
        make=_text(_lines(0, 10, 0.0) + _lines()),
    ),
    LogExhibit(
        name="clock set back",
        symptom="The clock of the recording computer was put right by a day during the drive.",
        came="running; 50 frames",
        said="drive.log:26: the log's clock was set back before this frame.",
        file="drive.log",
        make=_text(_lines(0, 25) + _lines(25, 50, 1_699_913_600.0)),
    ),
    LogExhibit(
        name="raw length codes",
        symptom="candump was started with -8: behind eight bytes stands a DLC of 9 to F.",
        came="running; 2 frames",
        file="drive.log",
        make=_text("(1.0) can0 123#1122334455667788_C\n(1.1) can0 123#1122334455667788_9\n"),
    ),
    LogExhibit(
        name="CAN XL",
        symptom="Between the other frames are some of CAN XL.",
        came="running; 2 frames",
        said="drive.log:2: a CAN XL frame, which the protocol cannot carry. Skipped. … errors: 1",
        file="drive.log",
        make=_text("(1.0) can0 123#11\n(1.1) can0 00123#81:00:00000000#1122334455\n(1.2) can0 123#12\n"),
    ),
    LogExhibit(
        name="candump's screen",
        symptom="The output for the screen was redirected into a file; it has no times.",
        came="failed",
        said="drive.log:1: a frame without a time, as candump prints it without -L. Use a log …",
        file="drive.log",
        make=_text("  can0  123   [2]  11 22\n" * 3),
    ),
    LogExhibit(
        name="frames that CAN does not have",
        symptom="A program wrote nine bytes into a classic frame, and nine into one of CAN FD.",
        came="running; 1 frame",
        said="drive.log:1: 9 bytes; a classic frame holds at most 8. Skipped. drive.log:2: 9 bytes; CAN FD has no such …",
        file="drive.log",
        make=_text(f"(1.0) can0 123#{'00' * 9}\n(1.0) can0 123##0{'00' * 9}\n(1.0) can0 123#00\n"),
    ),
    LogExhibit(
        name="two channels",
        symptom="One file with the frames of two interfaces, a little out of order.",
        came="running; 4 frames",
        said="drive.log: the frames of its channels can0, can1 are played on one bus.",
        file="drive.log",
        make=_text("(1.00) can0 1#\n(1.02) can1 1#\n(1.01) can0 1#\n(1.03) can1 1#\n"),
    ),
    LogExhibit(
        name="other events",
        symptom="Remote frames, error frames and comments.",
        came="running; 1 frame",
        said="errors: 1 remote frames: 1",
        file="drive.log",
        make=_text("# bench 3\n(1.0) can0 123#R4\n(1.0) can0 20000080#0000000000000000\n(1.0) can0 123#00\n"),
    ),
    LogExhibit(
        name="a line without an end",
        symptom="A file of a megabyte in which the line ends were lost.",
        came="running; 10 frames",
        said="drive.log:11: a line of more than 65536 bytes. Skipped. … errors: 1",
        file="drive.log",
        make=_text(_lines(0, 10) + "(1.0) can0 123#00 " * 60_000 + "\n"),
    ),
    LogExhibit(
        name="wrong suffix",
        symptom="A log of candump that somebody has named .asc.",
        came="running; 50 frames",
        said="drive.asc is candump's log, whatever its name says.",
        file="drive.asc",
        make=_text(_lines()),
    ),
    LogExhibit(
        name="saved as Unicode",
        symptom="An editor of Windows has saved the log in UTF-16.",
        came="running; 50 frames",
        file="drive.asc",
        make=_text(_asc("base hex  timestamps absolute\n").replace("\n", "\r\n"), "utf-16"),
    ),
    LogExhibit(
        name="umlauts",
        symptom="A German system writes the month in Latin-1; the header has no line about internal events.",
        came="running; 50 frames",
        file="drive.asc",
        make=_text(_asc("base hex  timestamps absolute\n", "M\xe4r"), "latin-1"),
    ),
    LogExhibit(
        name="decimal numbers",
        symptom="Ids and bytes are decimal, behind a byte order mark.",
        came="running; 1 frame",
        file="drive.asc",
        make=_text("\ufeffdate x\nbase dec  timestamps absolute\n 0.5 1 255 Rx d 2 254 255\n"),
    ),
    LogExhibit(
        name="an object without a size",
        symptom="An object in the file claims a size of 0.",
        came="running; 49 frames",
        said="drive.blf: byte … a damaged object. Skipped. … errors: 1",
        file="drive.blf",
        make=_sizeless_object,
    ),
    LogExhibit(
        name="copy that was interrupted",
        symptom="Only a part of the file has arrived.",
        came="running; … frames",
        said="drive.blf: byte … the file is cut here. Skipped. …",
        file="drive.blf",
        make=_cut(0.7),
    ),
    LogExhibit(
        name="compressed and cut",
        symptom="The machine was switched off while it compressed.",
        came="running; … frames",
        said="drive.log.gz:… the compressed file is cut here. Skipped. …",
        file="drive.log.gz",
        make=_cut_compressed,
    ),
    LogExhibit(
        name="old tool",
        symptom="A file of version 1.2, which few programs read.",
        came="running; 2 frames",
        said="remote frames: 1",
        file="drive.trc",
        make=_text(
            ";$FILEVERSION=1.2\n  1) 10.4 1  Rx 0100 2  01 02\n  2) 12.4 1  Tx 0100 2  04 05\n  3) 13.3 1  Rx 0704 1  RTR"
        ),
    ),
    LogExhibit(
        name="table of another program",
        symptom="A .csv with other columns than python-can's.",
        came="failed",
        said="drive.csv:1: 5 columns, not timestamp,arbitration_id,extended,remote,error,dlc,data: … Use a log …",
        file="drive.csv",
        make=_text("Time Stamp,ID,Extended,LEN,D1\n100,00000123,false,1,11\n"),
    ),
    LogExhibit(
        name="database that was cut",
        symptom="The last pages of a database are missing.",
        came="running; … frames…",
        said="drive.db: row … damaged from here to the end … Skipped. …",
        file="drive.db",
        make=_cut(0.7),
        keys={"speed": 100},
    ),
    LogExhibit(
        name="no file yet",
        symptom="The database is to be copied there later.",
        came="waiting",
        said="drive.db does not exist. Put the log there, or correct file.",
        file="drive.db",
        make=lambda _file: None,
    ),
    LogExhibit(
        name="no frame yet",
        symptom="The bus was silent while the log was recorded.",
        came="waiting",
        said="there is no frame in drive.log. Put frames there, or correct file.",
        file="drive.log",
        make=_text(""),
    ),
    LogExhibit(
        name="pipe",
        symptom="A pipe that nobody writes to.",
        came="failed",
        said="drive.log is a pipe (FIFO). Name a file with a log in file.",
        file="drive.log",
        make=os.mkfifo,
    ),
)
