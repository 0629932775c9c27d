"""The account of a stream: each frame that was sent is received, or counted as lost at a known place. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNKNOWN = "unknown"
"""The place of frames that a crashed worker took along. It alone is an estimate."""


@dataclass(frozen=True)
class Account:
    """Frames of one stream."""

    sent: int
    """Frames that the emulated adapter handed to the host."""
    received: int
    """Frames that the client received, each counted once."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Frames that the daemon counts as lost, by place: kernel, adapter, clients, recorder, unknown."""
    rate: float = 0.0
    """Frames per second that the adapter sends."""
    closed: int = 0
    """Frames that the adapter could not hand over, for no process had it open or read. After a crash, nobody knows."""

    @property
    def unaccounted(self) -> int:
        return max(0, self.sent - self.received - sum(self.lost.values()))

    def mistakes(self) -> list[str]:
        """Return the reasons why this account cannot be right, besides frames that are unaccounted for."""
        found = []
        if self.received > self.sent:
            found.append(f"{self.received} frames received, but only {self.sent} sent")
        known = sum(frames for place, frames in self.lost.items() if place != UNKNOWN)
        truth = max(0, self.sent - self.received - known)
        most = 2 * (truth + self.closed) + self.rate
        if (unknown := self.lost.get(UNKNOWN, 0)) > most:
            found.append(
                f"lost.unknown is {unknown}; {truth} frames are missing, so that {most:.0f} is the most"
            )
        if known > self.sent - self.received:
            found.append(f"{known} frames counted as lost, but only {self.sent - self.received} are missing")
        return found


def lost_by_place(accounts: Iterable[Account]) -> dict[str, int]:
    """Return the lost frames of all streams, without places at which none was lost."""
    places: dict[str, int] = {}
    for account in accounts:
        for place, frames in account.lost.items():
            if frames:
                places[place] = places.get(place, 0) + frames
    return places
