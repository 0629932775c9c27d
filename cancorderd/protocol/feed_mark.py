"""Marks in the stream of packets from a worker to the forwarder: the position of the frames behind them. Pure.

A mark looks like a packet, with a flag that no frame has; its time stamp is the number of frames of this bus that the
worker and its predecessors had for the forwarder before. A jump between two marks is what the backlog has dropped.
"""

from __future__ import annotations

from cancorderd.protocol.packets import HEADER

FEED = 0x10


def feed_mark(frames_before: int) -> bytes:
    return HEADER.pack(frames_before, 0, FEED, 0)
