"""File of a recording, written by python-can.

`checkpoint`, called once a second, puts the frames so far on the disk. All errors of the disk are OSError; then
call `give_up`, which keeps the whole lines or containers. An mf4 is written when it is closed: until then its
frames are in a temporary file in the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import can
from can.io import mf4

from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE
from cancorderd.protocol.interface_names import interface_name
from cancorderd.python_packages import install_command

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

_MODE = 0o640
_MOST_CHANNELS = 254
"""An mf4 has a single byte for the number of a channel, and python-can counts from 1."""
_TRAILING_NUMBER = re.compile(r"\d+$")
_MF4_FRAME_BYTES = 84
"""76 bytes for a frame as python-can keeps it, 8 for its time."""
_CAN_ERR_FLAG = 0x2000_0000
"""linux/can.h"""
_FLUSH_EVERY = 64
"""Frames in a text file between two flushes."""
_TAIL_BYTES = 1 << 16
_SCRATCH = ".cancorder-mf4-"
_ABANDONED_S = 24 * 3600.0
"""A scratch file that was last written before this time has no owner any more."""
_CLOCK_STEP_US = 100_000
"""NTP sets the clock by more than this, and a leap second is more; stamps of a driver may be out of order by less."""
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has fsync only


def _candump_form(frame: Frame) -> str:
    """Return a remote or error frame as candump writes it; python-can leaves out the DLC and the class of the error."""
    if frame.flags & ERROR:
        return f"{_CAN_ERR_FLAG | frame.arbitration_id:08X}#{frame.data.hex().upper()}"
    width = 8 if frame.flags & EXTENDED else 3
    return f"{frame.arbitration_id:0{width}X}#R{len(frame.data) or ''} R"


class FormatUnusableError(Exception):
    """A package that the format needs is missing; `str()` names it."""


def require(file_format: str) -> None:
    """Raise FormatUnusableError if files of this format cannot be written on this machine."""
    if file_format == "mf4" and getattr(mf4, "asammdf", None) is None:
        raise FormatUnusableError(
            "format mf4 needs the Python package asammdf, which is not installed. Install it "
            f'({install_command("asammdf")}), or write format = "blf".'
        )


def has_writer(path: str) -> bool:
    """Return whether a `LogFile` in any process still writes this file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def cut_torn_line(path: str) -> int:
    """Cut a text file behind its last whole line; returns the bytes that were cut. Raises OSError.

    A file without a line at its end was not torn, but is something else: it is left alone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        torn = len(tail) - tail.rfind(b"\n") - 1
        if not 0 < torn < len(tail):
            return 0
        os.ftruncate(descriptor, size - torn)
        _sync(descriptor)
        return torn
    finally:
        os.close(descriptor)


class LogFile:
    """A new file at `path`; raises FileExistsError if it exists. `channel` is the channel that the log names.

    A log of candump names it as an interface.
    """

    def __init__(self, path: str, file_format: str, channel: str) -> None:
        self.path = path
        self.frames = 0
        self.errors = 0
        """Remote and error frames, which do not count as frames here."""
        self.safe_errors = 0
        self.safe_frames = 0
        """Frames that neither a crash of this process nor a full disk can destroy any more."""
        self._format = file_format
        channel = interface_name(channel) if file_format == "log" else channel
        self._channel = channel
        number = _TRAILING_NUMBER.search(channel)
        # python-can converts the digits at the end of any text to a number, however large.
        numbered = number is None or int(number[0]) < _MOST_CHANNELS
        self._message_channel = channel if file_format == "log" or numbered else None
        self._first_us = self._last_us = 0
        self._safe_size = self._synced = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._raw: BinaryIO | None = None
        self._text: io.TextIOWrapper | None = None
        self._writer: can.io.generic.MessageWriter | None = None

    def too_early(self, timestamp_us: int) -> bool:
        """Return True if a time is before this file's frames: the clock was set back, which no format can express."""
        return bool(self._written) and timestamp_us < self._last_us - _CLOCK_STEP_US

    def write(self, frame: Frame) -> None:
        """Add a frame."""
        if not self._written:
            self._first_us = frame.timestamp_us
        writer = self._writer or self._open()
        self._last_us = max(frame.timestamp_us, self._first_us)
        flags = frame.flags
        if not flags & (REMOTE | ERROR):
            writer.on_message_received(self._message(frame, frame.data))
            self.frames += 1
        else:
            if self._text and self._format == "log":
                self._text.write(f"({self._last_us / 1e6:f}) {self._channel} {_candump_form(frame)}\n")
            else:
                writer.on_message_received(self._message(frame, b"" if flags & REMOTE else frame.data))
            self.errors += 1
        if self._text and self._written % _FLUSH_EVERY == 0:
            self._flush(self._text)

    @property
    def _written(self) -> int:
        """Number of frames of any kind."""
        return self.frames + self.errors

    def _message(self, frame: Frame, data: bytes) -> can.Message:
        flags = frame.flags
        return can.Message(
            timestamp=self._last_us / 1e6,
            arbitration_id=frame.arbitration_id,
            is_extended_id=bool(flags & EXTENDED),
            is_remote_frame=bool(flags & REMOTE),
            is_error_frame=bool(flags & ERROR),
            is_fd=bool(flags & FD),
            bitrate_switch=bool(flags & BRS),
            error_state_indicator=bool(flags & ESI),
            dlc=len(frame.data),
            data=data,
            channel=self._message_channel,
        )

    @property
    def size(self) -> int:
        """Approximate size so far, without buffered bytes; for an mf4, before it is compressed."""
        if self._format == "mf4":  # python-can's file_size does not work with asammdf 8
            return self._written * _MF4_FRAME_BYTES
        if isinstance(self._writer, can.BLFWriter):
            return int(self._writer.file_size())
        return self._raw.tell() if self._raw else os.fstat(self._descriptor).st_size

    @property
    def closing_bytes(self) -> int:
        """Space needed to close the file."""
        return self.size if self._format == "mf4" else 0

    def removed(self) -> bool:
        """Return True if somebody has deleted the file."""
        return os.fstat(self._descriptor).st_nlink == 0

    def checkpoint(self) -> None:
        """Put the frames since the last checkpoint on the disk. Does nothing for an mf4."""
        if self._synced == self._written or self._format == "mf4":
            return
        if self._text:
            self._flush(self._text)
        else:
            # The container that is not full yet and the header with the file's times are written at the end only.
            self._end_writer()
        self._sync()

    def close(self) -> int:
        """End the file in order; returns its size. If this raises OSError, call `give_up`."""
        self._end_writer()
        self._sync()
        os.close(self._descriptor)
        return self._safe_size

    def give_up(self) -> None:
        """Close the file with the frames that are safe in it; if there are none, remove it."""
        with contextlib.suppress(OSError, ValueError):
            if self._raw:
                self._raw.close()
        with contextlib.suppress(OSError):
            if self.safe_frames or self.safe_errors:
                os.ftruncate(self._descriptor, self._safe_size)
            elif not self.removed():
                Path(self.path).unlink()
        os.close(self._descriptor)

    def _flush(self, text: io.TextIOWrapper) -> None:
        text.flush()
        self._note_safe()

    def _note_safe(self) -> None:
        self._safe_size = os.fstat(self._descriptor).st_size
        self.safe_frames = self.frames
        self.safe_errors = self.errors

    def _sync(self) -> None:
        _sync(self._descriptor)
        self._note_safe()
        self._synced = self._written

    def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            writer.stop()
            self._raw = self._text = None

    def _open(self) -> can.io.generic.MessageWriter:
        # asammdf needs the file's name; the others write to the file that was created, even if it was renamed.
        by_name = self._format == "mf4"
        self._raw = open(self.path if by_name else os.dup(self._descriptor), "r+b")  # noqa: SIM115
        self._raw.seek(0)
        self._writer = self._writer_on(self._raw)
        return self._writer

    def _writer_on(self, raw: BinaryIO) -> can.io.generic.MessageWriter:
        if self._format == "blf":
            return can.BLFWriter(raw, append=bool(self._written))
        if self._format == "mf4":
            self._place_scratch_file()
            return mf4.MF4Writer(raw)
        text = self._text = io.TextIOWrapper(cast("io.BufferedRandom", raw), encoding="utf-8", newline="\n")
        if self._format == "log":
            return can.CanutilsLogWriter(text, channel=self._channel)
        writer = can.ASCWriter(text)
        # Times count from this event. It is a whole second, since readers disagree about fractions of a second
        # in the file's date (python-can writes 5 ms as ".5").
        writer.log_event("Start of measurement", float(self._first_us // 1_000_000))
        return writer

    def _place_scratch_file(self) -> None:
        """Put python-can's scratch file beside the mf4 (/tmp may be in memory); remove those that a power cut left."""
        folder = Path(self.path).parent
        tempfile.tempdir = str(folder)
        tempfile.template = _SCRATCH
        for scratch in folder.glob(f"{_SCRATCH}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - scratch.stat().st_mtime > _ABANDONED_S:
                    scratch.unlink()
