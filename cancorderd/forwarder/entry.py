"""A batch on its way to the hub: as a value, and as a record on the disk. Pure.

A record is: magic, CRC-32 of everything behind it, sizes of the bus's name and of the body; order, spool id, head, name,
body. Whatever a power cut or a broken card leaves, `read_records` finds the good records and skips the rest.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.hub.headers import BatchHead, BatchId, Losses

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"CcB1"
_PREFIX = struct.Struct(">4sI")
_FIXED = struct.Struct(">BIQQ8sQIQQQ5QIBd")
"""Length of the name, of the body; order, position; spool id, number, frames, before, first, last, lost, epoch, flags,
time of creation."""
_HEAD = _PREFIX.size + _FIXED.size
_LARGEST_BODY = 1 << 17
"""Twice as much as a forwarder writes. Damage is searched for records: a greater one would take longer for each candidate."""
_COMPRESSED = 1


class Entry:
    """A batch of one bus. `order` counts all batches of this machine, also over starts of the forwarder."""

    __slots__ = (
        "acknowledged",
        "body",
        "bus",
        "created",
        "head",
        "made_s",
        "on_disk",
        "order",
        "position",
        "spool_lost",
    )

    def __init__(
        self, order: int, bus: str, head: BatchHead, body: bytes, created: float, *, position: int = 0
    ) -> None:
        """`created` is in seconds since the epoch; `position` that of its last frame in the stream of its worker."""
        self.order = order
        self.bus = bus
        self.head = head
        self.body = body
        self.created = created
        self.position = position
        self.made_s = 0.0
        """As `created`, on the monotonic clock; only of batches that this process has made."""
        self.on_disk = False
        self.acknowledged = False
        """Whether the hub has acknowledged it once. It may have to be sent again."""
        self.spool_lost: int | None = None
        """Frames of this bus and spool id that the spool lost before this batch; None before it is first sent."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory and on the disk, roughly."""
        return len(self.body) + _HEAD + len(self.bus)

    def head_now(self, spool_lost: int, epoch: int) -> BatchHead:
        """Return the head with what is known only when the batch is sent."""
        head = self.head
        if (head.lost.spool, head.epoch) == (spool_lost, epoch):
            return head
        return head._replace(lost=head.lost._replace(spool=spool_lost), epoch=epoch)


class Stored(NamedTuple):
    """Frames of a bus and a spool id before their first batch on the disk, and up to the last one."""

    first: int
    end: int


class Damage(NamedTuple):
    """Bytes that hold no whole record."""

    start: int
    size: int
    at_end: bool
    """True for a torn end, as a power cut leaves it."""


def record(entry: Entry) -> bytes:
    """Return an entry as it stands on the disk."""
    head, name = entry.head, entry.bus.encode()
    fixed = _FIXED.pack(
        len(name), len(entry.body), entry.order, entry.position, bytes.fromhex(head.batch.spool), head.batch.number,
        head.frames, head.before, head.first_us, head.last_us, *head.lost, head.epoch,
        _COMPRESSED if head.compressed else 0, entry.created,
    )  # fmt: skip
    content = b"".join((fixed, name, entry.body))
    return _PREFIX.pack(_MAGIC, zlib.crc32(content)) + content


def read_records(data: bytes) -> Iterator[tuple[Entry | Damage, int]]:
    """Yield every whole record in a segment and the damage between them, each with the position of its end."""
    at = 0
    while at < len(data):
        found = _record_at(data, at)
        if found is None:
            end = _next_record(data, at + 1)
            yield Damage(at, end - at, at_end=end == len(data)), end
        else:
            entry, end = found
            yield entry, end
        at = end


def _next_record(data: bytes, at: int) -> int:
    """Return the beginning of the next whole record from `at` on, or the end of the data."""
    while (at := data.find(_MAGIC, at)) >= 0:
        if _record_at(data, at):
            return at
        at += 1
    return len(data)


def _record_at(data: bytes, at: int) -> tuple[Entry, int] | None:
    if len(data) - at < _HEAD:
        return None
    magic, checksum = _PREFIX.unpack_from(data, at)
    name_size, body_size, order, position, spool, number, frames, before, first, last, *rest = (
        _FIXED.unpack_from(data, at + _PREFIX.size)
    )
    end = at + _HEAD + name_size + body_size
    if magic != _MAGIC or body_size > _LARGEST_BODY or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[at + _PREFIX.size : end]) != checksum:
        return None
    *lost, epoch, flags, created = rest
    head = BatchHead(
        BatchId(spool.hex(), number),
        frames,
        before,
        first,
        last,
        Losses(*lost),
        epoch,
        bool(flags & _COMPRESSED),
    )
    name_end = at + _HEAD + name_size
    name = data[at + _HEAD : name_end].decode(errors="replace")
    entry = Entry(order, name, head, data[name_end:end], created, position=position)
    entry.on_disk = True
    return entry, end
