"""Backlog of a client, and which packets are dropped if the client reads too slowly. Pure: no sockets, no clocks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cancorderd.ipc.messages import UnsentChunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.protocol.batch import Batch

CHUNK_BYTES = 1 << 15
"""Batches of a slow client are joined to chunks of up to this size: a send for each, and no object per batch."""


class Backlog:
    """The packets that wait for a client, at most `limit` bytes; beyond the limit the oldest are dropped.

    The oldest, because a viewer that reads again wants to see the present. They are dropped as whole chunks,
    which are whole packets. A chunk that has been sent in part is never dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[tuple[bytearray, int, int]] = deque()
        """Packets, the number of data frames in them, and that of remote and error frames."""
        self._first_begun = False
        """True if the first chunk has been sent in part, so that dropping it would tear the stream."""
        self._offset = 0
        """Bytes of the first chunk that have been sent."""
        self.size = 0
        """Bytes that are still to be sent."""
        self.frames_sent = 0
        self.frames_dropped = 0
        self.internal_sent = 0
        """Remote and error frames, which only readers inside the machine get."""
        self.internal_dropped = 0
        self.bytes_sent = 0

    def restore(self, unsent: bytes, frames: int, chunks: Sequence[UnsentChunk] | None = None) -> None:
        """Begin with the result of another worker's `take`; it may start within a packet."""
        if chunks is None:
            chunks = [UnsentChunk(len(unsent), frames)] if unsent else []
        begin = 0
        with memoryview(unsent) as view:
            for chunk in chunks:
                self._chunks.append((bytearray(view[begin : begin + chunk.size]), chunk.frames, 0))
                begin += chunk.size
        self._first_begun = bool(self._chunks)
        self.size = begin

    def take(self) -> tuple[bytes, list[UnsentChunk]]:
        """Remove and return all bytes that are still to be sent, and their chunks, for the next worker."""
        chunks = [UnsentChunk(len(chunk), frames + internal) for chunk, frames, internal in self._chunks]
        if not chunks:
            return b"", []
        chunks[0] = UnsentChunk(chunks[0].size - self._offset, chunks[0].frames)
        with self.next_bytes() as first:
            unsent = b"".join([first, *(chunk for chunk, _, _ in list(self._chunks)[1:])])
        self._chunks.clear()
        self._first_begun, self._offset, self.size = False, 0, 0
        return unsent, chunks

    def enqueue(self, batch: Batch, sent: int = 0) -> int:
        """Add a batch, `sent` bytes of which have been sent already. Returns the number of frames dropped for it.

        A batch with remote and error frames is the result of `Batch.whole`.
        """
        packets, frames, _, internal = batch
        self.bytes_sent += sent
        dropped = self._make_room(len(packets) - sent)
        if self.size + len(packets) - sent > self._limit and not sent:
            self.frames_dropped += frames
            self.internal_dropped += internal
            return dropped + frames + internal
        if sent:
            self._chunks.append((bytearray(packets), frames, internal))
            self._first_begun, self._offset = True, sent
        elif self._chunks and len(self._chunks[-1][0]) + len(packets) <= CHUNK_BYTES:
            last, frames_before, internal_before = self._chunks[-1]
            last += packets
            self._chunks[-1] = (last, frames_before + frames, internal_before + internal)
        else:
            self._chunks.append((bytearray(packets), frames, internal))
        self.size += len(packets) - sent
        return dropped

    def _make_room(self, needed: int) -> int:
        dropped = 0
        while self.size + needed > self._limit and (frames := self.drop_oldest()):
            dropped += frames
        return dropped

    def drop_oldest(self) -> int:
        """Drop the oldest chunk that may be dropped; returns the number of its frames, 0 if there is no such chunk."""
        first = 1 if self._first_begun else 0
        if len(self._chunks) <= first:
            return 0
        chunk, frames, internal = self._chunks[first]
        del self._chunks[first]
        self.size -= len(chunk)
        self.frames_dropped += frames
        self.internal_dropped += internal
        return frames + internal

    def next_bytes(self) -> memoryview:
        """Return the bytes to send next. Release the view before calling anything else."""
        return memoryview(self._chunks[0][0])[self._offset :]

    def mark_sent(self, count: int) -> None:
        """Remove the first `count` bytes of `next_bytes`, which have been sent."""
        self.size -= count
        self.bytes_sent += count
        self._offset += count
        self._first_begun = True
        chunk, frames, internal = self._chunks[0]
        if self._offset == len(chunk):
            self._chunks.popleft()
            self.frames_sent += frames
            self.internal_sent += internal
            self._first_begun, self._offset = False, 0

    def unsent(self) -> tuple[bytes, int]:
        """Return all bytes that are still to be sent, and the frames that they count as, for the next worker."""
        unsent = b"".join(bytes(chunk) for chunk, _, _ in self._chunks)[self._offset :]
        return unsent, sum(frames for _, frames, _ in self._chunks)

    def internal_unsent(self) -> int:
        """Return the number of remote and error frames that are still to be sent."""
        return sum(internal for _, _, internal in self._chunks)
