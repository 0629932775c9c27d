"""Unit of the frame path: several packets in a single `bytes`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Batch(NamedTuple):
    """Whole packets back to back, and the number of frames that they hold.

    `complete` is for readers inside the machine (`internal_packets`).
    """

    packets: bytes
    frames: int
    complete: bytes = b""
    """The same packets with remote and error frames among them, in the order of arrival; empty if there are none."""
    internal: int = 0
    """Number of remote and error frames in `complete`."""

    def whole(self) -> Batch:
        """Return the batch for readers inside the machine, with all frames among its packets."""
        return Batch(self.complete, self.frames, b"", self.internal) if self.internal else self

    def external(self) -> Batch:
        """Return the batch for clients."""
        return Batch(self.packets, self.frames) if self.internal else self


EMPTY_BATCH = Batch(b"", 0)


def batch_of(packets: list[bytes], internal: Collection[int] = ()) -> Batch:
    """Return the batch of `packets`; those at the positions `internal` are remote and error frames."""
    if not packets:
        return EMPTY_BATCH
    everything = b"".join(packets)
    if not internal:
        return Batch(everything, len(packets))
    positions = set(internal)
    data = [packet for position, packet in enumerate(packets) if position not in positions]
    return Batch(b"".join(data), len(data), everything, len(positions))


def joined(batches: Sequence[Batch]) -> Batch:
    """Return several batches as a single one."""
    packets = b"".join([batch.packets for batch in batches])
    frames = sum(batch.frames for batch in batches)
    internal = sum(batch.internal for batch in batches)
    if not internal:
        return Batch(packets, frames)
    complete = b"".join([batch.complete or batch.packets for batch in batches])
    return Batch(packets, frames, complete, internal)
