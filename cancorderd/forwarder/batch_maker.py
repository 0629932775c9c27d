"""Batches made of the packets of a bus: numbered, compressed, with the losses so far. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cancorderd.forwarder.entry import Entry
from cancorderd.forwarder.feed_cut import Cut
from cancorderd.hub.headers import BatchHead, BatchId

if TYPE_CHECKING:
    from cancorderd.forwarder.accounts import BusAccount

_COMPRESS_ABOVE = 256
_LEVEL = 1
"""Higher levels of zlib cost more and save little of packets."""
_SMALL_BODY = 4096
_SMALL_WINDOW, _LARGE_WINDOW = 12, 15
_MEMORY = 6
"""Memory level of zlib, which clears its memory for each body: the default takes a hundred times a small body."""
QUIET_S = 5.0
"""A bus that has been silent for so long since it lost frames gets an empty batch, or nobody would learn of the loss."""


class BatchMaker:
    """Maker of the batches of one spool id."""

    def __init__(self, spool: str, *, compress: bool) -> None:
        self.spool = spool
        self.order = 0
        """Order of the last batch, also over starts of the forwarder."""
        self._compress = compress
        self._number = 0

    @property
    def number(self) -> int:
        """Number of the last batch."""
        return self._number

    def batch(self, account: BusAccount, cut: Cut, position: int, now: float, now_s: float) -> Entry:
        """Return the next batch of a bus, and count it.

        `position` is that of its last frame in the stream of its worker. `now` is in seconds since the epoch, `now_s` on
        the monotonic clock.
        """
        body, compressed = self._compressed(cut.body)
        self.order += 1
        self._number += 1
        head = BatchHead(
            BatchId(self.spool, self._number), cut.frames, account.batched, cut.first_us, cut.last_us,
            account.lost, 0, compressed,
        )  # fmt: skip
        entry = Entry(self.order, account.name, head, body, now, position=position)
        entry.made_s = now_s
        account.take_batch(entry)
        return entry

    def empty_batch(
        self, account: BusAccount, position: int, now: float, now_s: float, *, quiet_s: float = QUIET_S
    ) -> Entry | None:
        """Return a batch without frames if the bus is silent and has lost frames since its last batch, else None."""
        if account.lost == account.told or now_s - account.batched_s < quiet_s:
            return None
        stamp_us = account.last_us or int(now * 1e6)
        return self.batch(account, Cut(0, b"", 0, stamp_us, stamp_us), position, now, now_s)

    def _compressed(self, body: bytes) -> tuple[bytes, bool]:
        if self._compress and len(body) > _COMPRESS_ABOVE:
            window = _SMALL_WINDOW if len(body) <= _SMALL_BODY else _LARGE_WINDOW
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, _MEMORY)
            compressed = compressor.compress(body) + compressor.flush()
            if len(compressed) < len(body):
                return compressed, True
        return body, False
