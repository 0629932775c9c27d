"""What one client is owed, and what is dropped when it reads too slowly. Pure: no sockets, no clocks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cancorderd.frame import Batch

CHUNK_BYTES = 1 << 15
"""Batches of a slow client are gathered to chunks of this size: one send each, and no object per batch."""


class Backlog:
    """The packets that wait for one client, at most `limit` bytes; past it the oldest are dropped.

    The oldest, since a viewer that comes back wants what happens now. They go as whole chunks, which
    are whole packets; a chunk that the client has begun to receive always stays.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[tuple[bytearray, int]] = deque()
        self._begun = False
        self._offset = 0
        self.size = 0
        """Bytes owed."""
        self.frames_sent = 0
        self.frames_dropped = 0
        self.bytes_sent = 0

    def take_over(self, owed: bytes, frames: int) -> None:
        """Begin with what another worker still owed this client; it may start amid a packet."""
        if owed:
            self._chunks.append((bytearray(owed), frames))
            self._begun = True
            self.size = len(owed)

    def owe(self, batch: Batch, sent: int = 0) -> int:
        """Keep a batch of which `sent` bytes have gone out already; returns how many frames were dropped."""
        packets, frames = batch
        self.bytes_sent += sent
        dropped = self._make_room(len(packets) - sent)
        if self.size + len(packets) - sent > self._limit and not sent:
            self.frames_dropped += frames
            return dropped + frames
        if sent:
            self._chunks.append((bytearray(packets), frames))
            self._begun, self._offset = True, sent
        elif self._chunks and len(self._chunks[-1][0]) + len(packets) <= CHUNK_BYTES:
            last, held = self._chunks[-1]
            last += packets
            self._chunks[-1] = (last, held + frames)
        else:
            self._chunks.append((bytearray(packets), frames))
        self.size += len(packets) - sent
        return dropped

    def _make_room(self, needed: int) -> int:
        dropped = 0
        first = 1 if self._begun else 0
        while self.size + needed > self._limit and len(self._chunks) > first:
            chunk, frames = self._chunks[first]
            del self._chunks[first]
            self.size -= len(chunk)
            dropped += frames
        self.frames_dropped += dropped
        return dropped

    def next_bytes(self) -> memoryview:
        """What goes out next. Release the view before anything else is called."""
        return memoryview(self._chunks[0][0])[self._offset :]

    def paid(self, sent: int) -> None:
        """`sent` bytes of `next_bytes` have gone out."""
        self.size -= sent
        self.bytes_sent += sent
        self._offset += sent
        self._begun = True
        chunk, frames = self._chunks[0]
        if self._offset == len(chunk):
            self._chunks.popleft()
            self.frames_sent += frames
            self._begun, self._offset = False, 0

    def hand_over(self) -> tuple[bytes, int]:
        """Every byte owed, for the next worker, and the frames that they are counted as."""
        owed = b"".join(bytes(chunk) for chunk, _ in self._chunks)[self._offset :]
        return owed, sum(frames for _, frames in self._chunks)
