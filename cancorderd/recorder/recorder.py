"""Recording of a bus, file after file.

Errors of the disk or the folder stop the recording until they are fixed, and are reported; nothing is raised.
Times are seconds on the monotonic clock, sizes bytes.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import stat
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cancorderd.hidden_folders import service_hides
from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.messages import Notice, RecordingReport
from cancorderd.protocol.frame import ERROR, REMOTE
from cancorderd.recorder.file_names import file_name, recordings, surplus_files
from cancorderd.recorder.log_file import FormatUnusableError, LogFile, cut_torn_line, has_writer, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cancorderd.config.record_settings import RecordSettings
    from cancorderd.protocol.frame import Frame

_MB = 1_000_000
_BACKOFF = Backoff(first_s=5.0, longest_s=80.0)
"""From a stop to the first check whether recording can go on."""
_CHECK_AGAIN_S = 5.0
"""Interval between the checks that follow."""
_STABLE_S = 60.0
"""After a recording that lasted longer than this, the delays start over."""
_SIZE_EVERY = 64
"""Frames between two checks of the file's size."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEXT_SUFFIXES = (".log", ".asc")
_RESERVE_DIVISOR = 50
_LARGEST_RESERVE = 100_000_000


def disk_reserve(total: int) -> int:
    """Return the space that recording leaves free on a disk of `total` bytes: others need to write there, too."""
    return min(_LARGEST_RESERVE, total // _RESERVE_DIVISOR)


def can_go_on(total: int, free: int, closing: int) -> bool:
    """Whether there is room to go on with a file that needs `closing` bytes more to be closed."""
    return free - closing >= disk_reserve(total)


def can_begin(total: int, free: int) -> bool:
    """Whether there is room to begin: twice the reserve, so that the recording does not stop at once."""
    return free >= 2 * disk_reserve(total)


class _CannotRecord(Exception):
    """Nothing can be recorded now; `str()` is the reason."""


class Recorder:
    """Writes frames to files. `notify` is called with notices for the log."""

    def __init__(
        self, bus: str, record: RecordSettings, channel: str, notify: Callable[[Notice], None]
    ) -> None:
        self._bus = bus
        self._record = record
        assert record.directory  # noqa: S101 - loading sets it
        self._folder = record.directory
        self._channel = channel
        self._notify = notify
        self._file: LogFile | None = None
        self._path = ""
        """The current or the last file."""
        self._size = 0
        """Size of this file."""
        self._number = 0
        """Running number of this file."""
        self._older_bytes = 0
        """Size of the bus's other files."""
        self._unremovable: set[str] = set()
        """Names of old files that cannot be removed."""
        self._reason = ""
        """Why recording is stopped; empty while it goes on."""
        self._next_check_s = 0.0
        self._recording_since_s = time.monotonic()
        self._stops = 0
        """Stops in a row, each soon after the recording began."""
        self._received = 0
        """Frames, recorded or not."""
        self._frames_before = 0
        """Frames in earlier files."""
        self._errors_received = 0
        """As `_received`, for remote and error frames, which do not count as frames here."""
        self._errors_before = 0
        self._try_to_begin()

    def report(self) -> RecordingReport:
        state = "stopped" if self._reason else "recording"
        frames = self._frames_before + (self._file.frames if self._file else 0)
        errors = self._errors_before + (self._file.errors if self._file else 0)
        return RecordingReport(
            state,
            self._reason,
            self._path,
            self._size,
            frames,
            self._received - frames,
            errors,
            self._errors_received - errors,
        )

    def record(self, frames: Iterable[Frame]) -> None:
        """Write frames; while recording is stopped, only count them."""
        for frame in frames:
            if frame.flags & (REMOTE | ERROR):
                self._errors_received += 1
            else:
                self._received += 1
            if self._reason:
                continue
            try:
                self._write(frame)
            except OSError as error:
                self._give_up(self._reason_of(error))

    def tick(self, now_s: float) -> None:
        """Put the written frames on the disk, or check whether recording can go on. Call it once a second."""
        if self._reason and now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_AGAIN_S
            self._try_to_begin()
        elif self._file:
            try:
                if reason := self._checkpoint(self._file):
                    self._end_file()
                    self._stop(reason)
            except OSError as error:
                self._give_up(self._reason_of(error))

    def close(self) -> None:
        """End the file in order."""
        try:
            self._end_file()
        except OSError as error:
            self._give_up(self._reason_of(error))

    def abandon(self) -> None:
        """Keep the frames that are safely on the disk, after an unforeseen error."""
        self._give_up("the recorder failed; its traceback is in the log.")

    def _write(self, frame: Frame) -> None:
        if self._file and self._file.too_early(frame.timestamp_us):
            self._end_file()
        file = self._file or self._begin()
        file.write(frame)
        if (file.frames + file.errors) % _SIZE_EVERY == 0:
            self._size = file.size
            if self._size >= self._record.file_bytes:
                self._end_file()
            elif self._older_bytes and self._older_bytes + self._size > self._record.max_bytes:
                self._remove_surplus()

    def _checkpoint(self, file: LogFile) -> str:
        """Put the file on the disk; returns the reason if recording has to stop, else an empty text."""
        if file.removed():
            self._notify(Notice("warning", f"{file.path} was removed: recording goes on in a new file"))
            self._end_file()
            return ""
        file.checkpoint()
        self._size = file.size
        total, free = self._space()
        return "" if can_go_on(total, free, file.closing_bytes) else self._disk_full(free)

    def _begin(self) -> LogFile:
        os.makedirs(self._folder, 0o750, exist_ok=True)
        numbers = (recording.number for recording in recordings(os.listdir(self._folder), self._bus))
        self._number = max(self._number, *numbers, 0)
        while self._file is None:
            self._number += 1
            name = file_name(self._bus, self._number, datetime.now(UTC), self._record.format)
            self._path = os.path.join(self._folder, name)
            with contextlib.suppress(FileExistsError):
                self._file = LogFile(self._path, self._record.format, self._channel)
        self._size = 0
        self._notify(Notice("info", f"recording to {self._path}"))
        self._remove_surplus()
        return self._file

    def _end_file(self) -> None:
        """Close the file in order. If this raises OSError, call `_give_up`."""
        if self._file:
            self._size = self._file.close()
            self._frames_before += self._file.frames
            self._errors_before += self._file.errors
            self._file = None
            self._remove_surplus()

    def _remove_surplus(self) -> None:
        """Remove the oldest files beyond `max_mb`. The current file stays, or the newest if none has begun."""
        names = [recording.name for recording in recordings(os.listdir(self._folder), self._bus)]
        current = os.path.basename(self._path) or (names[-1] if names else "")
        sizes = dict(self._sizes(name for name in names if name not in self._unremovable))
        current_bytes = max(self._size, sizes.pop(current, 0))
        for name in surplus_files(sizes.items(), current_bytes, self._record.max_bytes):
            self._remove(name)
            del sizes[name]
        self._older_bytes = sum(sizes.values())

    def _remove(self, name: str) -> None:
        path = os.path.join(self._folder, name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unremovable.add(name)
            self._notify(
                Notice(
                    "warning", f"{path} cannot be removed ({error.strerror}), and does not count for max_mb"
                )
            )
        else:
            self._notify(Notice("info", f"removed {path} (max_mb = {self._record.max_mb})"))

    def _sizes(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield the ordinary files among `names`, with their sizes."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(self._folder, name))
                if stat.S_ISREG(found.st_mode):
                    yield name, found.st_size

    def _remove_empty(self) -> None:
        """Remove empty files of recorders that were killed before a frame was on the disk."""
        names = [recording.name for recording in recordings(os.listdir(self._folder), self._bus)]
        for name, size in self._sizes(names):
            path = os.path.join(self._folder, name)
            with contextlib.suppress(OSError):
                if not size and not has_writer(path):
                    os.unlink(path)

    def _mend_newest(self) -> None:
        """Cut the line that a power cut has torn: a shorter line may look like another frame."""
        names = [recording.name for recording in recordings(os.listdir(self._folder), self._bus)]
        if names and names[-1].endswith(_TEXT_SUFFIXES):
            path = os.path.join(self._folder, names[-1])
            with contextlib.suppress(OSError):
                if not has_writer(path) and (torn := cut_torn_line(path)):
                    self._notify(
                        Notice("warning", f"{path} ended within a line: its last {torn} bytes were removed")
                    )

    def _give_up(self, reason: str) -> None:
        """Stop, and keep the frames that are safely in the file."""
        file, self._file = self._file, None
        if file:
            file.give_up()
            self._frames_before += file.safe_frames
            self._errors_before += file.safe_errors
        self._stop(reason)

    def _stop(self, reason: str) -> None:
        self._reason = reason
        now_s = time.monotonic()
        stable = now_s - self._recording_since_s > _STABLE_S
        self._stops = 1 if stable else self._stops + 1
        self._next_check_s = now_s + _BACKOFF.delay_s(self._stops)
        self._notify(Notice("error", f"recording stopped: {reason}"))

    def _try_to_begin(self) -> None:
        """Check whether frames can be recorded, at the start and after a stop, and report a change."""
        try:
            self._prepare()
        except (OSError, _CannotRecord, FormatUnusableError) as error:
            reason = self._reason_of(error) if isinstance(error, OSError) else str(error)
            if not self._reason:
                self._stop(reason)
            self._reason = reason
            return
        if self._reason:
            self._reason = ""
            self._recording_since_s = time.monotonic()
            self._notify(Notice("info", "recording goes on"))

    def _prepare(self) -> None:
        require(self._record.format)
        folder = self._folder
        if hidden := service_hides(folder):
            raise _CannotRecord(f"{hidden} Choose another directory, such as one in /var/lib/cancorder.")
        os.makedirs(folder, 0o750, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS if _read_only(folder) else errno.EACCES, "", folder)
        self._mend_newest()
        self._remove_empty()
        self._remove_surplus()
        total, free = self._space()
        if not can_begin(total, free):
            raise _CannotRecord(self._disk_full(free))

    def _space(self) -> tuple[int, int]:
        """Return the size of the disk and the free space for this user; 0 and 0 if they are unknown."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return 0, 0
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def _disk_full(self, free: int) -> str:
        return (
            f"the disk of {self._folder} is full, with {free / _MB:.1f} MB left. Make room there, or "
            "lower max_mb; recording then goes on by itself."
        )

    def _reason_of(self, error: OSError) -> str:
        """Return the reason for `status`: the place, the fact, the remedy."""
        folder = self._folder
        if error.errno in _FULL:
            return self._disk_full(self._space()[1])
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
