"""The questions and reports of the publisher to the forwarder that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cancorderd.forwarder.entry import Entry
    from cancorderd.forwarder.outbox import Segment
    from cancorderd.hub.headers import BatchHead


class Owner(Protocol):
    """The forwarder, as the publisher needs it."""

    def head(self, entry: Entry, epoch: int) -> BatchHead:
        """Return the headers with which a batch is sent now."""

    def last_number(self) -> int:
        """Return the number of the last batch that was made."""

    def limit_bodies(self, size: int) -> None:
        """Make no batches whose bodies have more bytes."""

    def on_acknowledged(self, entry: Entry) -> None:
        """Take a batch that the hub has stored."""

    async def load(self, segment: Segment) -> None:
        """Load batches of a segment into the outbox."""

    def on_resume(self) -> None:
        """Batches behind the last acknowledged one will be sent again."""

    def look_ups(self) -> list[str]:
        """Return the buses whose last messages it wants to know."""

    def on_last_message(self, bus: str, head: BatchHead | None) -> None:
        """Take a bus's last message."""

    def on_state(self) -> None:
        """The connection's state has changed."""

    def notice(self, level: str, text: str) -> None:
        """Log a sentence."""
