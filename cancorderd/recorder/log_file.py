"""One file of a recording, written by python-can. `checkpoint`, once a second, puts on the disk what it holds.

All errors of the disk are OSError; after one, `give_up` leaves what was whole: lines or containers. An mf4 is written when it is closed: until then its frames are in a temporary file
beside it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import can
from can.io import mf4

from cancorderd.frame import BRS, ESI, EXTENDED, FD

if TYPE_CHECKING:
    from cancorderd.frame import Frame

_MODE = 0o640
_MOST_CHANNELS = 254
"""mf4 has one byte for a channel's number, which python-can counts from 1."""
_TRAILING_NUMBER = re.compile(r"\d+$")
_MF4_FRAME_BYTES = 84
"""76 for what python-can keeps of a frame, 8 for its time."""
_FLUSH_EVERY = 64
"""Frames of a text from one flush to the next."""
_SCRATCH = ".cancorder-mf4-"
_LEFT_S = 24 * 3600.0
"""A scratch file that nobody has written to for so long has no owner."""
_CLOCK_STEP_US = 1_000_000
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has fsync only


class FormatUnusableError(Exception):
    """A package that the format needs is missing; `str()` says which."""


def require(kind: str) -> None:
    """Raises FormatUnusableError where files of this format cannot be written here."""
    if kind == "mf4" and getattr(mf4, "asammdf", None) is None:
        raise FormatUnusableError(
            "format mf4 needs the Python package asammdf, which is not installed. Install it "
            '(pip install asammdf), or write format = "blf".'
        )


class LogFile:
    """A new file at `path`; raises FileExistsError where there is one. `channel` is what the log names."""

    def __init__(self, path: str, kind: str, channel: str) -> None:
        self.path = path
        self.frames = 0
        self.safe_frames = 0
        """Frames that a crash of this process or a full disk cannot take any more."""
        self._kind = kind
        self._channel = channel
        number = _TRAILING_NUMBER.search(channel)
        # python-can makes a number of any text that ends with digits, however large.
        numbered = number is None or int(number[0]) < _MOST_CHANNELS
        self._message_channel = channel if kind == "log" or numbered else None
        self._first_us = self._last_us = 0
        self._safe_size = self._synced_frames = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._raw: BinaryIO | None = None
        self._text: io.TextIOWrapper | None = None
        self._writer: can.io.generic.MessageWriter | None = None

    def foreign(self, timestamp_us: int) -> bool:
        """True for a frame whose time lies before this file's: the clock was set back, and no format has that."""
        return bool(self.frames) and timestamp_us < self._last_us - _CLOCK_STEP_US

    def write(self, frame: Frame) -> None:
        """Add a frame."""
        if not self.frames:
            self._first_us = frame.timestamp_us
        writer = self._writer or self._open()
        self._last_us = max(frame.timestamp_us, self._first_us)
        flags = frame.flags
        writer.on_message_received(
            can.Message(
                timestamp=self._last_us / 1e6,
                arbitration_id=frame.arbitration_id,
                is_extended_id=bool(flags & EXTENDED),
                is_fd=bool(flags & FD),
                bitrate_switch=bool(flags & BRS),
                error_state_indicator=bool(flags & ESI),
                dlc=len(frame.data),
                data=frame.data,
                channel=self._message_channel,
            )
        )
        self.frames += 1
        if self._text and self.frames % _FLUSH_EVERY == 0:
            self._flush(self._text)

    @property
    def size(self) -> int:
        """Bytes so far, give or take what waits in a buffer; of an mf4, before it is compressed."""
        if self._kind == "mf4":  # python-can's file_size does not work with asammdf 8
            return self.frames * _MF4_FRAME_BYTES
        if isinstance(self._writer, can.BLFWriter):
            return int(self._writer.file_size())
        return self._raw.tell() if self._raw else os.fstat(self._descriptor).st_size

    @property
    def owed(self) -> int:
        """Bytes that closing the file will take."""
        return self.size if self._kind == "mf4" else 0

    def removed(self) -> bool:
        """True once somebody has deleted the file."""
        return os.fstat(self._descriptor).st_nlink == 0

    def checkpoint(self) -> None:
        """Put on the disk what was written since the last time. Does nothing for an mf4."""
        if self._synced_frames == self.frames or self._kind == "mf4":
            return
        if self._text:
            self._flush(self._text)
        else:
            # A container that is not full, and a header that tells the file's time: both come with the end.
            self._end_writer()
        self._sync()

    def close(self) -> int:
        """End the file in order; returns its size. After an OSError, `give_up` is left to do."""
        self._end_writer()
        self._sync()
        os.close(self._descriptor)
        return self._safe_size

    def give_up(self) -> None:
        """Close the file with what is safe in it, and remove one that holds nothing."""
        with contextlib.suppress(OSError, ValueError):
            if self._raw:
                self._raw.close()
        with contextlib.suppress(OSError):
            if self.safe_frames:
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

    def _sync(self) -> None:
        _sync(self._descriptor)
        self._note_safe()
        self._synced_frames = self.frames

    def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            writer.stop()
            self._raw = self._text = None

    def _open(self) -> can.io.generic.MessageWriter:
        # asammdf asks for the file's name; the others write to what was created, whatever its name is now.
        named = self._kind == "mf4"
        self._raw = open(self.path if named else os.dup(self._descriptor), "r+b")  # noqa: SIM115
        self._raw.seek(0)
        self._writer = self._writer_on(self._raw)
        return self._writer

    def _writer_on(self, raw: BinaryIO) -> can.io.generic.MessageWriter:
        if self._kind == "blf":
            return can.BLFWriter(raw, append=bool(self.frames))
        if self._kind == "mf4":
            self._place_scratch_file()
            return mf4.MF4Writer(raw)
        text = self._text = io.TextIOWrapper(cast("io.BufferedRandom", raw), encoding="utf-8", newline="\n")
        if self._kind == "log":
            return can.CanutilsLogWriter(text, channel=self._channel)
        writer = can.ASCWriter(text)
        # Times count from here: a whole second, since the file's date has no smaller unit that all readers
        # understand (python-can writes 5 ms as ".5").
        writer.log_event("Start of measurement", float(self._first_us // 1_000_000))
        return writer

    def _place_scratch_file(self) -> None:
        """Let what python-can gathers lie beside the mf4 (/tmp may be memory); remove what a power cut left."""
        folder = Path(self.path).parent
        tempfile.tempdir = str(folder)
        tempfile.template = _SCRATCH
        for left in folder.glob(f"{_SCRATCH}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    left.unlink()
