"""Cutting the stream of a bus's worker into bodies of whole packets. Pure.

`FeedCutter` is given the beginning of what has arrived, and returns how much of it are whole packets. Only these are
then taken from the socket: whenever this process ends, the stream goes on with a whole packet for the next.

The marks say how long a worker's batch is, so that only the last one is looked at packet by packet, and one that is not
there to its end or that another process has begun to take.
"""

from __future__ import annotations

from typing import NamedTuple

from cancorderd.protocol.feed_mark import FEED, MARK
from cancorderd.protocol.packets import HEADER, TIMESTAMP

_FLAGS = HEADER.size - 2
_LENGTH = HEADER.size - 1


class Cut(NamedTuple):
    """Whole packets at the beginning of a stream."""

    size: int
    """Bytes to take from the stream."""
    body: bytes
    """The packets, without marks."""
    frames: int
    first_us: int
    last_us: int


class FeedCutter:
    """Reader of one bus's streams, which follow each other.

    `position` counts the frames as the marks do: None before the first mark. `lost` are frames that never came.
    """

    def __init__(self) -> None:
        self.position: int | None = None
        self.begin: int | None = None
        """Position of the first frame that this process had; None before the first mark."""
        self.lost = 0
        self._unplaced = 0
        """Frames before the first mark."""

    def place(self, position: int) -> None:
        """Take the position at the end of the streams, if they are at their end and no mark was in them."""
        if self.position is None:
            self.begin = self.position = position

    def cut(self, data: bytes) -> Cut:
        """Return the whole packets at the beginning of `data`. Take `size` bytes from the stream then.

        `last` is the beginning of a packet, of the last one or of the batch that holds it, which ends at `stop`.
        """
        at = start = frames = run = 0
        last = stop = 0
        parts: list[bytes] = []
        end = len(data)
        while at + HEADER.size <= end:
            if data[at + _FLAGS] != FEED:
                following = at + HEADER.size + data[at + _LENGTH]
                if following > end:
                    break
                last, stop, at = at, following, following
                run += 1
                continue
            behind = at + MARK.size
            if behind > end:
                break
            if at > start:
                parts.append(data[start:at])
            position, size, _, _, count = MARK.unpack_from(data, at)
            self._mark(position, run)
            frames, run = frames + run, 0
            at = start = behind
            if HEADER.size <= size <= end - at:
                last, stop, at = at, at + size, at + size
                run = count
        frames += run
        if self.position is not None:
            self.position += run
        else:
            self._unplaced += run
        if at > start:
            parts.append(data[start:at])
        if not frames:
            return Cut(at, b"", 0, 0, 0)
        # The last batch was not walked through.
        while (following := last + HEADER.size + data[last + _LENGTH]) <= stop - HEADER.size:
            last = following
        body = b"".join(parts)
        return Cut(at, body, frames, TIMESTAMP.unpack_from(body)[0], TIMESTAMP.unpack_from(data, last)[0])

    def _mark(self, number: int, run: int) -> None:
        """Take a mark, with `run` frames since the last one."""
        if self.position is not None and number > self.position + run:
            self.lost += number - self.position - run
        if self.begin is None:
            self.begin = number - run - self._unplaced
        # A lower number is of a worker whose predecessor was killed before it had reported all its frames.
        self.position = number
