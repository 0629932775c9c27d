"""Counts of the frames of each bus in the forwarder, and the losses that its batches report. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.hub.headers import Losses
from cancorderd.ipc.messages import ForwardedBusReport, SafePosition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cancorderd.forwarder.entry import Entry, Stored
    from cancorderd.hub.headers import BatchHead


class BusAccount:
    """One bus: frames in batches, at the hub and lost, since the spool id was made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.batched = 0
        """Frames in batches of this spool id."""
        self.batched_s = 0.0
        """Time of its last batch on the monotonic clock."""
        self.last_us = 0
        """Time stamp of its last frame, in microseconds since the epoch; 0 before the first."""
        self.told = Losses()
        """Losses in the headers of its last batch."""
        self.waiting = 0
        """Frames that are kept and not acknowledged, also of earlier starts."""
        self.forwarded = 0
        """Frames that were acknowledged since the start."""
        self.kernel = self.adapter = self.worker_unknown = 0
        """Losses before the feed, since the daemon started."""
        self.fed = 0
        """Position at the end of the streams, by the reports of the workers."""
        self._base: tuple[int, int, int] | None = None
        """These losses when the spool id was made."""
        self.feed = 0
        self.own_unknown = 0
        """Frames that an earlier forwarder took along."""
        self.spool = 0
        """Frames that the spool has dropped."""
        self.last_acknowledged: float | None = None
        """Time of creation of the last acknowledged batch, in seconds since the epoch."""
        self.oldest_waiting: float | None = None
        """Time of creation of the first batch that waits, until one is acknowledged."""
        self.safe: SafePosition | None = None

    def take_losses(self, kernel: int, adapter: int, unknown: int, fed: int = 0) -> None:
        """Take the bus's losses since the daemon started. Those of the first call belong to an earlier spool id."""
        self.fed = fed
        if self._base is None:
            self._base = (kernel, adapter, unknown)
        self.kernel, self.adapter, self.worker_unknown = kernel, adapter, unknown

    def begin_after(self, safe: SafePosition) -> None:
        """Count the losses that earlier forwarders have not reported, such as those while none ran."""
        self._base = (safe.kernel, safe.adapter, safe.unknown)

    def begin(self, spool: str) -> None:
        """Begin with the first frame of a bus that no forwarder has read before. Nothing of it is stored."""
        self.safe = SafePosition(spool, 0, 0, *(self._base or (0, 0, 0)))

    def take_stored(self, entry: Entry) -> None:
        """Take a batch of this spool id that is at the hub or on the disk."""
        head = entry.head
        if head.lost.unknown < self.own_unknown:
            return  # it does not report yet what an earlier forwarder lost, which this position would make forgotten
        kernel, adapter, unknown = self._base or (0, 0, 0)
        safe = SafePosition(
            head.batch.spool,
            entry.position,
            head.before + head.frames,
            kernel + head.lost.kernel,
            adapter + head.lost.adapter,
            unknown + max(0, head.lost.unknown - self.own_unknown),
        )
        self.safe = safe if self.safe is None else max(self.safe, safe)

    @property
    def lost(self) -> Losses:
        """Losses since the spool id was made; those of the spool itself are known when a batch is sent."""
        kernel, adapter, unknown = self._base or (0, 0, 0)
        return Losses(
            max(0, self.kernel - kernel),
            max(0, self.adapter - adapter),
            max(0, self.worker_unknown - unknown) + self.own_unknown,
            self.feed,
            self.spool,
        )

    def take_left(self, frames: int, since: float) -> None:
        """Count frames that earlier starts have left on the disk, the oldest in a batch that was made at `since`."""
        self.waiting += frames
        self.oldest_waiting = since

    def take_batch(self, entry: Entry) -> None:
        """Count a batch that was made now."""
        head = entry.head
        self.batched += head.frames
        self.batched_s, self.last_us, self.told = entry.made_s, head.last_us, head.lost
        if not self.waiting:
            self.oldest_waiting = entry.created
        self.waiting += head.frames

    def lag_s(self, now: float) -> float:
        if not self.waiting:
            return 0.0
        since = self.last_acknowledged if self.last_acknowledged is not None else self.oldest_waiting
        return max(0.0, now - since) if since is not None else 0.0

    def report(self, now: float) -> ForwardedBusReport:
        return ForwardedBusReport(
            self.name, self.waiting, round(self.lag_s(now), 1), self.forwarded, *self.lost, self.safe
        )


class SentAccount:
    """The frames that the spool lost between the batches that are sent, by spool id and bus.

    Whatever made it lose them (full, damaged, a file that cannot be read), the next batch's `before` shows how many are
    missing. If nothing is left of a spool id, or of its end, the first batch of the next one reports them.
    """

    def __init__(self) -> None:
        self._spools: Sequence[str] = ()
        self._stored: Mapping[tuple[str, str], Stored] = {}
        self._known: set[str] = set()
        """Buses whose last message at the hub is known, and is ours."""
        self._sent: dict[tuple[str, str], tuple[int, int]] = {}
        """Frames up to the last batch that was sent, and those of them that were lost."""
        self._acknowledged: dict[tuple[str, str], tuple[int, int]] = {}

    def begin(self, spools: Sequence[str], stored: Mapping[tuple[str, str], Stored]) -> None:
        """Take our spool ids, the latest last, and what earlier starts have left on the disk, by spool id and bus."""
        self._spools, self._stored = spools, stored

    def known(self, bus: str, head: BatchHead) -> None:
        """Take the last message of a bus at the hub."""
        key = (head.batch.spool, bus)
        self._acknowledged[key] = (head.before + head.frames, head.lost.spool)
        self._sent[key] = self._acknowledged[key]
        if head.batch.spool in self._spools:
            self._known.add(bus)

    def _begin(self, entry: Entry) -> tuple[int, int]:
        """Return what `_sent` holds before the first batch of a spool id and bus."""
        head, bus = entry.head, entry.bus
        at = self._spools.index(head.batch.spool) if head.batch.spool in self._spools else 0
        lost = 0
        for spool in reversed(self._spools[:at]):
            first, end = self._stored.get((spool, bus), (0, 0))
            sent = self._sent.get((spool, bus))
            reached = sent[0] if sent else 0 if bus in self._known else first
            lost += max(0, end - reached)
            if sent:
                break
        if bus in self._known or head.batch.spool == self._spools[-1]:
            return 0, lost
        return head.before, head.lost.spool + lost  # what the hub has of it is not known

    def spool_lost(self, entry: Entry) -> int:
        """Return the frames that the spool lost before `entry`, which is sent now."""
        head, key = entry.head, (entry.head.batch.spool, entry.bus)
        if entry.spool_lost is None:
            reached, lost = self._sent.get(key) or self._begin(entry)
            entry.spool_lost = lost + max(0, head.before - reached)
        self._sent[key] = (head.before + head.frames, entry.spool_lost)
        return entry.spool_lost

    def acknowledged(self, entry: Entry) -> None:
        """Note that the hub has a batch, be it from an earlier connection whose acknowledgements were lost."""
        head, key = entry.head, (entry.head.batch.spool, entry.bus)
        reached = head.before + head.frames
        if entry.spool_lost is None and self._acknowledged.get(key, (0, 0))[0] >= reached:
            return
        lost = head.lost.spool if entry.spool_lost is None else entry.spool_lost
        self._acknowledged[key] = (reached, lost)
        if self._sent.get(key, (0, 0))[0] < reached:
            self._sent[key] = (reached, lost)

    def resume(self) -> None:
        """Batches behind the last acknowledged one are sent again."""
        self._sent = dict(self._acknowledged)
