"""A bus's recording, file after file. What goes wrong stops it until that is mended, and is told; nothing raises.

Times are seconds on the monotonic clock, sizes bytes.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cancorderd.recorder import room
from cancorderd.recorder.log_file import FormatUnusableError, LogFile, require
from cancorderd.recorder.names import name_of, too_many
from cancorderd.report import Notice, Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cancorderd.config.recording import Record
    from cancorderd.frame import Frame

_MB = 1_000_000
_LOOK_AGAIN_S = 5.0
"""How often a recording that stopped looks whether it may go on,"""
_LONGEST_S = 80.0
"""and how long it waits for the first look where it stops again and again."""
_SETTLED_S = 60.0
"""A recording that went on for so long counts as one that works."""
_SIZE_EVERY = 64
"""Frames from one look at the file's size to the next."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Stop(Exception):
    """Nothing can be recorded now; `str()` says why."""


class Recorder:
    """Takes frames, writes files. `tell` gets what is worth a line in the log."""

    def __init__(self, bus: str, record: Record, channel: str, tell: Callable[[Notice], None]) -> None:
        self._bus = bus
        self._record = record
        self._channel = channel
        self._tell = tell
        self._file: LogFile | None = None
        self._path = ""
        self._size = 0
        self._reason = ""
        self._next_look_s = 0.0
        self._since_s = time.monotonic()
        self._delay_s = _LOOK_AGAIN_S / 2
        self._taken = 0
        self._finished = 0
        """Frames in the files before this one."""
        self._look()

    def report(self) -> Recording:
        state = "stopped" if self._reason else "recording"
        frames = self._finished + (self._file.frames if self._file else 0)
        return Recording(state, self._reason, self._path, self._size, frames, self._taken - frames)

    def take(self, frames: Iterable[Frame]) -> None:
        """Write frames, or count them where recording is stopped."""
        for frame in frames:
            self._taken += 1
            if self._reason:
                continue
            try:
                self._write(frame)
            except OSError as error:
                self._give_up(self._because(error))

    def tick(self, now_s: float) -> None:
        """Make safe what was written; once a second."""
        if self._reason and now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_AGAIN_S
            self._look()
        elif self._file:
            try:
                if why := self._check(self._file):
                    self._end_file()
                    self._stop(why)
            except OSError as error:
                self._give_up(self._because(error))

    def close(self) -> None:
        """End the file in order."""
        try:
            self._end_file()
        except OSError as error:
            self._give_up(self._because(error))

    def abandon(self) -> None:
        """Leave what is safe, where something went wrong that was not foreseen."""
        self._give_up("the recorder failed; its trace is in the log.")

    def _write(self, frame: Frame) -> None:
        if self._file and self._file.foreign(frame.timestamp_us):
            self._end_file()
        file = self._file or self._begin()
        file.write(frame)
        if file.frames % _SIZE_EVERY == 0:
            self._size = file.size
            if self._size >= self._record.rotate_mb * _MB:
                self._end_file()

    def _check(self, file: LogFile) -> str:
        """Make the file safe; returns why recording has to stop, or nothing."""
        if file.removed():
            self._tell(Notice("warning", f"{file.path} was removed: recording goes on in a new file"))
            self._end_file()
            return ""
        file.checkpoint()
        self._size = file.size
        total, free = self._space()
        return "" if room.goes_on(total, free, file.owed) else self._full(free)

    def _begin(self) -> LogFile:
        folder = self._record.directory
        os.makedirs(folder, 0o750, exist_ok=True)
        now, turn = datetime.now(UTC), 1
        while self._file is None:
            self._path = os.path.join(folder, name_of(self._bus, now, self._record.format, turn))
            try:
                self._file = LogFile(self._path, self._record.format, self._channel)
            except FileExistsError:
                turn += 1
        self._tell(Notice("info", f"recording to {self._path}"))
        for name in too_many(os.listdir(folder), self._bus, self._record.keep, os.path.basename(self._path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
            self._tell(Notice("info", f"removed {os.path.join(folder, name)} (keep = {self._record.keep})"))
        return self._file

    def _end_file(self) -> None:
        """Close the file in order; after an OSError it is left to `_give_up`."""
        if self._file:
            self._size = self._file.close()
            self._finished += self._file.frames
            self._file = None

    def _give_up(self, why: str) -> None:
        """Stop, with what is safe in the file."""
        file, self._file = self._file, None
        if file:
            file.give_up()
            self._finished += file.safe_frames
        self._stop(why)

    def _stop(self, why: str) -> None:
        self._reason = why
        now_s = time.monotonic()
        settled = now_s - self._since_s > _SETTLED_S
        self._delay_s = _LOOK_AGAIN_S if settled else min(_LONGEST_S, 2 * self._delay_s)
        self._next_look_s = now_s + self._delay_s
        self._tell(Notice("error", f"recording stopped: {why}"))

    def _look(self) -> None:
        """See whether frames can be recorded, before the first or after a stop; tell what changes."""
        try:
            self._prepare()
        except (OSError, _Stop, FormatUnusableError) as error:
            why = self._because(error) if isinstance(error, OSError) else str(error)
            if not self._reason:
                self._stop(why)
            self._reason = why
            return
        if self._reason:
            self._reason = ""
            self._since_s = time.monotonic()
            self._tell(Notice("info", "recording goes on"))

    def _prepare(self) -> None:
        require(self._record.format)
        folder = self._record.directory
        os.makedirs(folder, 0o750, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS if _read_only(folder) else errno.EACCES, "", folder)
        total, free = self._space()
        if not room.begins_again(total, free):
            raise _Stop(self._full(free))

    def _space(self) -> tuple[int, int]:
        """Size of the disk, and what is free on it for this user; 0 of 0 where nobody knows."""
        try:
            found = os.statvfs(self._record.directory)
        except OSError:
            return 0, 0
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def _full(self, free: int) -> str:
        return (
            f"the disk of {self._record.directory} is full, with {free / _MB:.1f} MB left. Make room there, or "
            "lower keep or rotate_mb; recording goes on by itself then."
        )

    def _because(self, error: OSError) -> str:
        folder = self._record.directory
        if error.errno in _FULL:
            return self._full(self._space()[1])
        if error.errno in (errno.EACCES, errno.EPERM):
            return (
                f"no permission to write in {folder}. Give the folder to user {_user()} (chown), or choose "
                "another directory."
            )
        if error.errno == errno.EROFS:
            return (
                f"{folder} is read-only here. For the systemd service, allow it with ReadWritePaths={folder} "
                "(systemctl edit cancorderd); else choose another directory."
            )
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            return f"{folder} is not a folder. Choose another directory."
        return f"{error.strerror or error} ({error.filename or folder}). Check the disk."


def _read_only(folder: str) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.geteuid())
