"""What forwarders before this one left unclear: the frames that a crashed one took along. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cancorderd.hub.headers import BatchHead
    from cancorderd.ipc.messages import SafePosition


class EarlierStarts:
    """Account of the frames of earlier spool ids.

    A crashed forwarder had read frames from the workers that it may have stored or not. How many it stored is known
    from the disk and from the last messages at the hub, where its successor reads on from the first mark in a stream.
    """

    def __init__(self, spool: str) -> None:
        """`spool` is the spool id of this start."""
        self._spool = spool
        self._safe: dict[str, SafePosition] = {}
        """Positions of an earlier forwarder whose end is not accounted for yet."""
        self._stored: dict[tuple[str, str], int] = {}
        """Frames of earlier spool ids, by id and bus, that are known to be at the hub or on the disk."""
        self._told: dict[tuple[str, str], int] = {}
        """Frames lost with the forwarders before an earlier spool id, by its last message."""
        self.spools: list[str] = []
        """Spool ids of this machine, in the order of their making."""
        self.looked_up = False
        """Whether the last messages at the hub are known."""

    def take_safe(self, bus: str, safe: SafePosition) -> None:
        """Take the last position that an earlier forwarder had reported as stored."""
        self._safe[bus] = safe

    def unclear(self, bus: str) -> bool:
        """Return whether an earlier forwarder's end is not accounted for yet."""
        return bus in self._safe

    def take_stored(self, spool: str, bus: str, frames: int) -> None:
        """Take the number of frames of a spool id that are stored."""
        key = (spool, bus)
        self._stored[key] = max(self._stored.get(key, 0), frames)

    def take_last_message(self, bus: str, head: BatchHead | None) -> bool:
        """Take the last message of a bus at the hub; returns whether it is of an earlier start."""
        self.looked_up = True
        if head is None or head.batch.spool == self._spool:
            return False
        self.take_stored(head.batch.spool, bus, head.before + head.frames)
        self._told[head.batch.spool, bus] = head.lost.unknown
        return True

    def settle(self) -> None:
        """Count with what is known, perhaps too many frames: this forwarder ends before it has seen the hub."""
        self.looked_up = True

    def lost(self, bus: str, begin: int | None) -> int:
        """Return the frames that an earlier forwarder took along, once, when that is known; 0 until then.

        `begin` is the position at which this forwarder began to read the bus.
        """
        safe = self._safe.get(bus)
        if not self.looked_up or safe is None or begin is None:
            return 0
        del self._safe[bus]
        stored = max(self._stored.get((safe.spool, bus), 0), safe.stored)
        # Forwarders between that one and this were killed before they reported anything.
        between = sum(
            self._stored.get((spool, bus), 0) + self._told.get((spool, bus), 0)
            for spool in self._after(safe.spool)
        )
        return max(0, begin - safe.position - (stored - safe.stored) - between)

    def _after(self, spool: str) -> list[str]:
        """Return the earlier spool ids that were made after this one."""
        if spool not in self.spools:
            return []
        return [each for each in self.spools[self.spools.index(spool) + 1 :] if each != self._spool]
