"""The last batches that the hub has acknowledged, for a hub that loses its last minutes. Pure.

They are kept as records (see `entry`), many to a block: as objects they would take two to three times the memory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cancorderd.forwarder.entry import Entry, read_records, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK_BYTES = 1 << 16
_FEWEST_BLOCKS = 8
"""With fewer, a small limit would stay half unused."""


class KeptBatches:
    """At most `limit` bytes; beyond, the oldest are forgotten, a block at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._block_bytes = min(_BLOCK_BYTES, limit // _FEWEST_BLOCKS)
        self._blocks: deque[bytes] = deque()
        self._last = bytearray()
        """The youngest block, which grows."""
        self._bytes = 0

    @property
    def since(self) -> float | None:
        """Time of creation of the oldest; seconds since the epoch."""
        oldest = self._blocks[0] if self._blocks else bytes(self._last)
        return next((entry.created for entry in _entries(oldest)), None)

    def add(self, entry: Entry) -> None:
        """Keep a batch, with the loss of the spool that was sent with it."""
        lost = entry.head.lost
        if entry.spool_lost is not None and entry.spool_lost != lost.spool:
            entry.head = entry.head._replace(lost=lost._replace(spool=entry.spool_lost))
        kept = record(entry)
        self._last += kept
        self._bytes += len(kept)
        if len(self._last) >= self._block_bytes:
            self._blocks.append(bytes(self._last))
            self._last.clear()
        while self._bytes > self._limit:
            self._bytes -= len(self._blocks.popleft())

    def take_lost(self, had: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the youngest batches, which the hub no longer has, in the order of their age."""
        lost: deque[Entry] = deque()
        while self._bytes:
            block = bytes(self._last) or self._blocks.pop()
            self._last.clear()
            self._bytes -= len(block)
            entries = list(_entries(block))
            begin = sum(map(had, entries))
            lost.extendleft(reversed(entries[begin:]))
            if begin:
                for entry in entries[:begin]:
                    self.add(entry)
                break
        for entry in lost:
            entry.acknowledged, entry.spool_lost = True, entry.head.lost.spool
        return list(lost)


def _entries(block: bytes) -> Iterator[Entry]:
    return (item for item, _ in read_records(block) if isinstance(item, Entry))
