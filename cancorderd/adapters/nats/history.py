"""Which batch was read at which sequence number of the stream. Pure.

A hub that was killed may come back with an older copy of its stream. Its sequence numbers are then used again, for other
messages. A reader that compares a number that it knows with the present message finds out, and reads again from the last
message that is still the same.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cancorderd.hub.headers import BatchId

_RECENT = 256
"""Messages of which each is remembered."""
_STEP = 32
"""Before them, one of so many."""
_EARLIER = 4096
"""Number of these: with `_STEP`, the messages of 20 minutes of a full bus; a hub syncs every 2 minutes."""


class Place(NamedTuple):
    """A message that was read."""

    sequence: int
    batch: BatchId


class History:
    """The messages that were read last."""

    def __init__(self) -> None:
        self._recent: deque[Place] = deque()
        self._earlier: deque[Place] = deque(maxlen=_EARLIER)
        self._count = 0

    def add(self, sequence: int, batch: BatchId) -> None:
        """Remember a message; its number is above those before."""
        self._recent.append(Place(sequence, batch))
        if len(self._recent) > _RECENT:
            oldest = self._recent.popleft()
            self._count += 1
            if self._count % _STEP == 0:
                self._earlier.append(oldest)

    def places(self) -> list[Place]:
        """Return the places that are remembered, oldest first."""
        return [*self._earlier, *self._recent]

    def forget_after(self, sequence: int) -> None:
        """Forget the places behind this number: the stream holds other messages there."""
        self._recent = deque(place for place in self._recent if place.sequence <= sequence)
        self._earlier = deque((place for place in self._earlier if place.sequence <= sequence), _EARLIER)
