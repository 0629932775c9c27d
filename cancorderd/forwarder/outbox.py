"""Batches on their way: what is sent next, what goes to the disk, and what is dropped when there is no room. Pure.

Batches are sent in the order of their making. They wait in memory; those that stay unacknowledged for some seconds are
written to segment files, so that a working uplink costs the disk nothing. `Outbox` knows which batches are where and
decides; `disk_spool` reads and writes the files.

    acknowledged | again | in flight | loaded from the disk | on the disk | in memory
       (kept)                                                              (the youngest)
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from cancorderd.forwarder.kept_batches import KeptBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cancorderd.forwarder.entry import Entry
    from cancorderd.forwarder.resume import Mark

MEMORY_BYTES = 6 << 20
"""Batches in memory that wait for the disk, beside those that are being written. More than `ram_s` of twelve busy buses;
beyond, the oldest are dropped."""
LOAD_BYTES = 1 << 18
"""Batches loaded from the disk at a time."""


class Segment:
    """A file of the spool with batches that are not all acknowledged."""

    def __init__(self, path: str, first: int) -> None:
        self.path = path
        self.first = first
        """Order of its first batch."""
        self.last = first
        self.size = 0
        """Bytes of whole records."""
        self.offset = 0
        """Where the first batch begins that was not loaded yet."""
        self.unloaded: dict[str, int] = {}
        """Frames of the batches that were not loaded yet, by bus."""
        self.complete = False
        """Whether nothing is appended any more."""

    def add(self, entry: Entry) -> None:
        """Note a batch that was written at the end."""
        self.last = entry.order
        self.unloaded[entry.bus] = self.unloaded.get(entry.bus, 0) + entry.head.frames


class Outbox:
    """See above. `dropped` is called with a bus and a number of its frames that are lost here."""

    def __init__(self, keep_acked: int, limit: int, dropped: Callable[[str, int], None]) -> None:
        """`keep_acked` and `limit` are bytes, in memory and on the disk."""
        self.kept = KeptBatches(keep_acked)
        self._limit = limit
        self._dropped = dropped
        self._again: deque[Entry] = deque()
        self._loaded: deque[Entry] = deque()
        self.segments: list[Segment] = []
        self._memory: deque[Entry] = deque()
        self._memory_bytes = 0
        self.writing = 0
        """Order of the last batch that is being written to the disk, until `spilled` is called; 0 if none is."""
        self._taken = 0
        """Order of the latest batch that was taken from the disk or from memory to be sent."""
        self._acknowledged = 0
        """Order up to which batches are acknowledged, or lost."""
        self._behind: Mark | None = None
        self._spools: dict[str, int] = {}

    @property
    def disk_bytes(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the batches that wait on the disk and in memory."""
        return self.disk_bytes + self._memory_bytes

    @property
    def oldest(self) -> Entry | None:
        """The oldest batch in memory that waits to be sent, if the disk has none."""
        return self._memory[0] if self._memory else None

    def add(self, entry: Entry) -> None:
        """Add the youngest batch. Drops the oldest that wait in memory if the disk does not take them."""
        self._memory.append(entry)
        self._memory_bytes += entry.size
        while self._memory_bytes > MEMORY_BYTES:
            # Those that are being written will be read from the disk: they are not lost, and leave the memory soon.
            written = list(itertools.takewhile(lambda each: each.order <= self.writing, self._memory))
            if len(self._memory) - len(written) == 1 or (
                self._memory_bytes - sum(each.size for each in written) <= MEMORY_BYTES
            ):
                break
            oldest = self._memory[len(written)]
            del self._memory[len(written)]
            self._memory_bytes -= oldest.size
            self._dropped(oldest.bus, oldest.head.frames)

    def put_back(self, in_flight: Iterable[Entry]) -> None:
        """Take back the batches of a window: the hub may have them or not."""
        self._again.extendleft(reversed(list(in_flight)))

    def resume(
        self, behind: Mark | None, spools: Sequence[str], in_flight: Iterable[Entry], *, again: bool
    ) -> list[Entry]:
        """Go on as `forwarder.resume` says; `in_flight` are the batches of the last window.

        Returns those of them that the hub has.
        """
        self._behind = behind
        self._spools = {spool: number for number, spool in enumerate(spools)}
        self.put_back(in_flight)
        if again:
            self._again.extendleft(reversed(self.kept.take_lost(self._had)))
        had = []
        while self._again and self._had(self._again[0]):
            had.append(self._again.popleft())
        return had

    def next_load(self) -> Segment | None:
        """Return the segment from which batches have to be loaded before anything can be taken."""
        if self._again or self._loaded or not self.segments:
            return None
        return next((segment for segment in self.segments if segment.offset < segment.size), None)

    def loaded(self, segment: Segment, entries: Iterable[Entry], end: int) -> None:
        """Take the batches of a segment up to the byte `end`."""
        if segment not in self.segments:
            return  # `surplus` has removed it while it was read: its frames are counted as lost
        segment.offset = end
        for entry in entries:
            left = segment.unloaded.get(entry.bus, 0) - entry.head.frames
            segment.unloaded[entry.bus] = max(0, left)
            if entry.order > self._taken:
                self._loaded.append(entry)
        if segment.offset >= segment.size:
            for bus, frames in segment.unloaded.items():
                if frames:
                    self._dropped(bus, frames)
            segment.unloaded.clear()

    def take(self) -> tuple[Entry | None, list[Entry]]:
        """Return the next batch to send, or None, and the batches before it that the hub has already."""
        had: list[Entry] = []
        while (queue := self._next_queue()) is not None:
            entry = queue.popleft()
            if queue is self._memory:
                self._memory_bytes -= entry.size
            self._taken = max(self._taken, entry.order)
            if not self._had(entry):
                return entry, had
            had.append(entry)
        return None, had

    def peek_size(self) -> int | None:
        """Return the size of the next batch, or None if there is none in memory."""
        queue = self._next_queue()
        return queue[0].size if queue else None

    def _next_queue(self) -> deque[Entry] | None:
        if self._again:
            return self._again
        if self._loaded:
            return self._loaded
        if self.next_load() is not None or not self._memory:
            return None
        return self._memory

    def _had(self, entry: Entry) -> bool:
        """Whether the hub has a batch, by its last message at the time of `resume`."""
        if self._behind is None:
            return False
        batch = entry.head.batch
        return (self._spools.get(batch.spool, -1), batch.number) <= self._behind

    def acknowledged(self, entry: Entry) -> None:
        """Note that the hub has a batch."""
        self._acknowledged = max(self._acknowledged, entry.order)
        self.kept.add(entry)

    def finished(self) -> list[Segment]:
        """Remove the segments whose batches are all acknowledged; returns them."""
        done: list[Segment] = []
        for segment in self.segments:
            if segment.last > self._acknowledged:
                break  # this is called for each batch: those behind it are not looked at
            # What is being written may go to the end of one that is not complete.
            if segment.offset >= segment.size and (segment.complete or not self.writing):
                done.append(segment)
        if done:
            self.segments = [segment for segment in self.segments if segment not in done]
        return done

    def to_spill(self, made_before_s: float, in_flight: Sequence[Entry]) -> list[Entry]:
        """Return the unacknowledged batches made before this time that are not on the disk, in order."""
        if self._limit == 0:
            return []
        found = []
        for queue in (in_flight, self._again, self._memory):
            for entry in queue:
                if entry.made_s >= made_before_s and self._memory_bytes < MEMORY_BYTES // 2:
                    break
                if not entry.on_disk and entry.order > self._acknowledged:
                    found.append(entry)
        return found

    def spilled(self, entries: Iterable[Entry], segment: Segment, size: int) -> None:
        """Note that batches were written at the end of `segment`, which has `size` bytes now."""
        self.writing = 0
        if segment not in self.segments:
            self.segments.append(segment)
        whole = segment.offset == segment.size
        for entry in entries:
            entry.on_disk = True
            segment.add(entry)
        segment.size = size
        while self._memory and self._memory[0].on_disk:
            self._memory_bytes -= self._memory.popleft().size
        if whole and segment.last <= self._taken:
            # All of these are in flight: they need not be loaded.
            segment.offset = size
            segment.unloaded.clear()

    def surplus(self) -> list[Segment]:
        """Remove the oldest segments beyond the limit; returns them. Batches that may be at the hub already stay."""
        gone: list[Segment] = []
        while self.disk_bytes > self._limit:
            victim = next(
                (each for each in self.segments if each.first > self._taken and each.complete), None
            )
            if victim is None:
                break
            self.segments.remove(victim)
            gone.append(victim)
            for bus, frames in victim.unloaded.items():
                self._dropped(bus, frames)
        return gone
