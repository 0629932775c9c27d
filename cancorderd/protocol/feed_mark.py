"""Marks in the stream of packets from a worker to the forwarder: the position of the frames behind them. Pure.

A mark begins like a packet, with a flag that no frame has; its time stamp is the number of frames of this bus that the
worker and its predecessors had for the forwarder before. A jump between two marks is what the backlog has dropped.
Size and frames of the packets behind it follow, so that the forwarder need not look at each of them.
"""

from __future__ import annotations

import struct

FEED = 0x10
MARK = struct.Struct(">QIBBI")
"""Position, size, FEED, 0, frames: a packet's head, and a number."""


def feed_mark(frames_before: int, size: int, frames: int) -> bytes:
    """Return the mark before `frames` packets that have `size` bytes together."""
    return MARK.pack(frames_before, size, FEED, 0, frames)
