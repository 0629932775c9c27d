"""Batches for tests of the forwarder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cancorderd.forwarder.entry import Entry
from cancorderd.hub.headers import BatchHead, BatchId, Losses

if TYPE_CHECKING:
    from cancorderd.forwarder.disk_spool import DiskSpool
    from cancorderd.forwarder.outbox import Segment

SPOOL = "0123456789abcdef"
EARLIER = "fedcba9876543210"


def batch(
    number: int, *, bus: str = "a", spool: str = SPOOL, frames: int = 10, size: int = 100, order: int = 0
) -> Entry:
    """Return the batch with this number of a bus that has no other batches between; `made_s` is its order."""
    head = BatchHead(
        BatchId(spool, number), frames, frames * (number - 1), 1000 + number, 2000 + number, Losses(kernel=1)
    )
    order = order or number
    entry = Entry(
        order, bus, head, bytes([number % 256]) * size, 1_700_000_000.0 + order, position=frames * number
    )
    entry.made_s = float(order)
    return entry


def left_on(disk: DiskSpool) -> tuple[list[Segment], dict[str, int], int]:
    """Return the segments that earlier starts have left, frames in them by bus, and the highest order."""
    highest = disk.begin()
    segments = [segment for name in disk.left if (segment := disk.scan(name))]
    frames = sum((Counter(segment.unloaded) for segment in segments), Counter[str]())
    return segments, dict(frames), highest
