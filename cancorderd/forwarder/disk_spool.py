"""Segment files of the spool. Every call may wait for the disk: use a thread of its own.

The folder holds `<number>.batches` files of records (`entry`), and `spool-ids`: a line for each start of the forwarder,
by which it knows its own batches at the hub, with the frames of each bus that the disk held up to its last batch.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from typing import TYPE_CHECKING

from cancorderd.folder_sync import sync_folder
from cancorderd.forwarder.entry import Entry, Stored, read_records, record
from cancorderd.forwarder.outbox import LOAD_BYTES, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

_SUFFIX = ".batches"
_IDS = "spool-ids"
_MOST_IDS = 256
_SPOOL_ID = re.compile(r"^([0-9a-f]{16})((?: [A-Za-z0-9_-]+=[0-9]{1,19})*)$", re.MULTILINE)
"""A line of this file; a power cut may leave others."""
_SEGMENT_BYTES = 4 << 20
_LARGEST_SEGMENT = 128 << 20
"""More than the last call of `append` can make of a segment that was not full; the file of somebody else may have more."""
_FEWEST_SEGMENTS = 8
"""Whole segments are dropped if the spool is full: most of the limit should stay in use."""
_KEPT_FREE = 16 << 20
"""Bytes of the disk that are left to others; of a small disk, a twentieth."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class SpoolUnavailable(Exception):
    """Nothing can be written at present. `str()` is the reason, with the remedy."""


class DiskSpool:
    """The files in `folder`, which together should have at most `limit` bytes."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._segment_bytes = max(1, min(_SEGMENT_BYTES, limit // _FEWEST_SEGMENTS))
        self._number = 0
        self._segment: Segment | None = None
        """The segment that grows; its file is `_file`."""
        self._file = -1
        self._locked = -1
        self.left: list[str] = []
        """Names of the segments that earlier starts have left."""
        self.damaged = 0
        """Bytes that could not be read, apart from torn ends."""
        self.unreadable: list[str] = []
        """Sentences about segments of earlier starts that could not be opened and stay, or held no record."""
        self.stored: dict[tuple[str, str], Stored] = {}
        """Frames of earlier starts by spool id and bus."""
        self.since: dict[str, float] = {}
        """When the oldest of these batches was made, by bus, in seconds since the epoch."""

    def lock(self) -> bool:
        """Keep other forwarders out of the folder until `close`; returns False while another uses it.

        That of a daemon that was killed still reads what the workers sent, and writes it. A folder that cannot be locked
        is used without.
        """
        if self._locked < 0:
            try:
                os.makedirs(self._folder, 0o750, exist_ok=True)
                self._locked = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                return True
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def begin(self) -> int:
        """Find the segments that earlier starts have left; returns the order of the last batch in them, 0 if there is none.

        `scan` has to read each of `left` then, which may take minutes together; batches may be written meanwhile.
        """
        self.left = sorted(self._names())
        if self.left:
            self._number = int(self.left[-1].removesuffix(_SUFFIX))
        for name in reversed(self.left):
            with contextlib.suppress(OSError):
                if segment := self._read(os.path.join(self._folder, name), DiskSpool._pass):
                    return segment.last
        return 0

    def scan(self, name: str) -> Segment | None:
        """Read one of `left`, the oldest first; returns None if it is of no use."""
        path = os.path.join(self._folder, name)
        try:
            segment = self._read(path, self._take_stored)
            if segment is None:
                self._remove_useless(path)
        except OSError as error:
            fact = f"cannot be read ({error.strerror}): its frames are missing at the hub"
            self.unreadable.append(f"{path}: {fact}. Check its owner and the disk.")
            return None
        return segment

    def spool_ids(self, own: str) -> list[str]:
        """Return the spool ids of this machine, the latest last, with `own` as the last. Remembers it.

        Those of batches on the disk are among them. Call `scan` first: `stored` also gets what the disk held then, and what
        was dropped since.
        """
        path = os.path.join(self._folder, _IDS)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                found = dict(_SPOOL_ID.findall(file.read()))
        except OSError:
            found = {}
        known = [*_in_order(list(found), dict.fromkeys(spool for spool, _ in self.stored)), own]
        for spool in known:
            for bus, _, end in (word.partition("=") for word in found.get(spool, "").split()):
                first, last = self.stored.get((spool, bus), (int(end), 0))
                self.stored[spool, bus] = Stored(first, max(last, int(end)))
        ends: dict[str, str] = {}
        for (spool, bus), (_, last) in self.stored.items():
            ends[spool] = f"{ends.get(spool, '')} {bus}={last}"
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, 0o750, exist_ok=True)
            temporary = f"{path}.new"
            with open(temporary, "w", encoding="ascii") as file:
                file.writelines(f"{spool}{ends.get(spool, '')}\n" for spool in known)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(self._folder)
        return known

    def left_behind(self) -> list[tuple[str, int]]:
        """Return the spools of gateways with other names beside this one, and the bytes of frames in each."""
        try:
            with os.scandir(os.path.dirname(self._folder)) as entries:
                folders = sorted(entry.path for entry in entries if entry.is_dir())
        except OSError:
            return []
        return [(each, size) for each in folders if each != self._folder and (size := _size(each))]

    def append(self, entries: Sequence[Entry]) -> tuple[Segment, int]:
        """Write batches at the end of the present segment, or of a new one; returns it and its size.

        Raises SpoolUnavailable; nothing was written then.
        """
        data = b"".join(map(record, entries))
        try:
            os.makedirs(self._folder, 0o750, exist_ok=True)
            self._check_room(len(data))  # before a file is made: a full disk would get one with each attempt
            segment = self._writable(entries[0].order)
            self._write(segment, data)
        except OSError as error:
            self._close()
            raise SpoolUnavailable(self._reason(error)) from error
        for entry in entries:
            entry.on_disk = True  # here, too: whoever waits for this may have been cancelled
        return segment, segment.size + len(data)

    def complete(self, segment: Segment) -> None:
        """Append nothing to this segment any more."""
        if segment is self._segment:
            self._close()

    def full(self, segment: Segment) -> bool:
        """Return whether the next batch begins a new segment."""
        return segment.size >= self._segment_bytes

    def load(self, segment: Segment, size: int) -> tuple[list[Entry], int]:
        """Return the next batches of a segment of `size` bytes, and where they end. What cannot be read is skipped."""
        try:
            with open(segment.path, "rb") as file:
                file.seek(segment.offset)
                data = file.read(min(LOAD_BYTES * 2, size - segment.offset))
        except OSError:
            self.damaged += size - segment.offset
            return [], size
        last = segment.offset + len(data) >= size
        entries: list[Entry] = []
        end = 0
        for item, item_end in read_records(data):
            if isinstance(item, Entry):
                entries.append(item)
            elif item.at_end and not last and end:
                break  # the record goes on behind the bytes that were read
            elif not (item.at_end and last):
                self.damaged += item.size
            end = item_end
            if end >= LOAD_BYTES:
                break
        return entries, segment.offset + end if data else size

    def remove(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self.complete(segment)
            with contextlib.suppress(OSError):
                os.unlink(segment.path)

    def close(self) -> None:
        self._close()
        if self._locked >= 0:
            os.close(self._locked)
            self._locked = -1

    def _names(self) -> list[str]:
        return _segment_names(self._folder)

    def _read(self, path: str, take: Callable[[Entry], None]) -> Segment | None:
        """Return a segment of an earlier start; None if it holds no record. Raises OSError."""
        with open(path, "rb") as file:
            data = file.read(_LARGEST_SEGMENT + 1)
        if len(data) > _LARGEST_SEGMENT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        segment: Segment | None = None
        for item, _ in read_records(data):
            if isinstance(item, Entry):
                segment = segment or Segment(path, item.order)
                segment.add(item)
                take(item)
        if segment:
            segment.size = len(data)
            segment.complete = True
        return segment

    def _take_stored(self, entry: Entry) -> None:
        key, head = (entry.head.batch.spool, entry.bus), entry.head
        first = self.stored[key].first if key in self.stored else head.before
        self.stored[key] = Stored(first, head.before + head.frames)
        self.since.setdefault(entry.bus, entry.created)

    @staticmethod
    def _pass(entry: Entry) -> None:
        pass

    def _remove_useless(self, path: str) -> None:
        """Remove a segment without records. Raises OSError."""
        if os.stat(path).st_size:
            self.unreadable.append(f"{path}: held nothing that can be read, and was removed. Check the disk.")
        os.unlink(path)

    def _writable(self, order: int) -> Segment:
        """Return the segment to write in, whose file is open. Raises OSError."""
        if self._segment and self.full(self._segment):
            self._close()
        if self._segment is None:
            self._number += 1
            path = os.path.join(self._folder, f"{self._number:012}{_SUFFIX}")
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._segment = Segment(path, order)
        return self._segment

    def _check_room(self, size: int) -> None:
        found = os.statvfs(self._folder)
        kept = min(_KEPT_FREE, found.f_blocks * found.f_frsize // 20)
        if found.f_blocks and found.f_bavail * found.f_frsize < size + kept:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _write(self, segment: Segment, data: bytes) -> None:
        """Write and sync. Raises OSError; the file then ends as before, or is left behind as a whole."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
            if not segment.size:
                sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, segment.size)
            if not segment.size:
                with contextlib.suppress(OSError):
                    os.unlink(segment.path)
            raise

    def _close(self) -> None:
        if self._segment:
            self._segment.complete = True
            self._segment = None
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _reason(self, error: OSError) -> str:
        if error.errno in _FULL:
            return f"the disk of {self._folder} is full. Make room there, or lower forward.spool_mb."
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"no permission to write in {self._folder}. Give the folder to the user of cancorderd (chown)."
        if error.errno == errno.EROFS:
            return f"{self._folder} is read-only. Mount it for writing, or set daemon.state_dir to another folder."
        return f"the spool cannot be written: {error.strerror or error} ({self._folder}). Check the disk."


def _in_order(remembered: Sequence[str], stored: Collection[str]) -> list[str]:
    """Return the latest of the spool ids that the file has, and all of those that the disk has batches of.

    Both are in the order of their making. One that a power cut has taken from the file is placed by its batches.
    """
    latest = set(remembered[-_MOST_IDS:])
    known = [spool for spool in remembered if spool in latest or spool in stored]
    following = len(known)
    for spool in reversed(list(stored)):
        if spool in known:
            following = known.index(spool)
        else:
            known.insert(following, spool)
    return known


def _segment_names(folder: str) -> list[str]:
    try:
        found = os.listdir(folder)
    except OSError:
        return []
    return [name for name in found if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdecimal()]


def _size(folder: str) -> int:
    """Return the bytes of the segments in a folder."""
    size = 0
    for name in _segment_names(folder):
        with contextlib.suppress(OSError):
            size += os.stat(os.path.join(folder, name)).st_size
    return size
