"""Account of one bus at the hub: which messages are delivered, and the frames that were lost before. Pure.

The stream may hold a message twice, may have lost some, and may begin anew. The headers (`hub.headers`) are enough to
deliver each frame once, in order, and to count the missing ones by place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cancorderd.hub.headers import Losses, retention_loss

if TYPE_CHECKING:
    from cancorderd.hub.headers import BatchHead

RETENTION = "retention"
"""Place of frames that the hub itself has lost: deleted by its limits, or with the stream."""
BODY = "body"
"""Place of frames in messages whose bodies are damaged."""
_MOST_SPOOLS = 64
"""Spool ids whose last batch is remembered: an older one has long left the forwarder's disk."""


class LostOnTheWay(NamedTuple):
    """Frames of a bus that were lost between the gateway's adapter and this consumer."""

    by_header: Losses = Losses()
    retention: int = 0

    @property
    def total(self) -> int:
        return self.by_header.total + self.retention

    def plus(self, other: LostOnTheWay) -> LostOnTheWay:
        return LostOnTheWay(self.by_header.plus(other.by_header), self.retention + other.retention)

    def text(self, unreadable: int = 0) -> str:
        """Return the frames lost by place, as "spool 12, retention 3"; empty if there are none.

        `unreadable` frames were in messages whose bodies do not hold them.
        """
        places = {**self.by_header._asdict(), RETENTION: self.retention, BODY: unreadable}
        return ", ".join(f"{place} {frames}" for place, frames in places.items() if frames)


class Account:
    """Account of the messages of one bus, taken in the order of their sequence numbers at the hub."""

    def __init__(self, last: BatchHead | None = None) -> None:
        """`last` is the message at which an earlier consumer ended, or None to begin with the first."""
        self.last = last
        """Headers of the last message that was delivered."""
        self.lost = LostOnTheWay()
        self.repeated = 0
        """Messages that were dropped because they had been delivered before."""
        self._numbers: dict[str, int] = {}
        """Last batch number of each spool id, the most recent spool id at the end."""
        if last is not None:
            self._numbers[last.batch.spool] = last.batch.number

    def take(self, head: BatchHead) -> bool:
        """Return whether to deliver the message with these headers, and count the frames that are missing before it."""
        spool, number = head.batch
        if number <= self._numbers.get(spool, 0):
            self.repeated += 1
            return False
        self.lost = self.lost.plus(self._lost_before(head))
        self._numbers.pop(spool, None)
        self._numbers[spool] = number
        if len(self._numbers) > _MOST_SPOOLS:
            del self._numbers[next(iter(self._numbers))]
        self.last = head
        return True

    def _lost_before(self, head: BatchHead) -> LostOnTheWay:
        last = self.last
        if last is None:  # whatever was lost before the beginning is not missed here
            return LostOnTheWay()
        if last.batch.spool == head.batch.spool:
            grown = Losses(*(max(0, count) for count in head.lost.minus(last.lost)))
            return LostOnTheWay(grown, retention_loss(head, last))
        # The counts of a new spool id begin at 0, and all frames before this message have been in batches.
        return LostOnTheWay(head.lost, max(0, head.before - head.lost.spool))
