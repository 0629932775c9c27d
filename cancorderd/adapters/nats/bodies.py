"""Bodies of messages as batches: decompressed, checked frame by frame, cut to a span of time. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cancorderd.adapters.nats.moments import EVER
from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from cancorderd.protocol.frame import EXTENDED
from cancorderd.protocol.packets import AFTER_TIMESTAMP, HEADER, TIMESTAMP, head_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.adapters.nats.moments import Span
    from cancorderd.hub.headers import BatchHead

MOST_BYTES = 1 << 20
"""Bytes of a decompressed body; a forwarder writes at most 64 kB."""
_MOST_FRAMES = MOST_BYTES // HEADER.size
"""Frames of a body: headers that announce more are wrong."""
_MOST_HEADS = 8192
"""Different heads that are remembered: more than any bus has ids."""


class BodyError(ValueError):
    """A body that is not what its headers say. `str()` is the fact."""


class BodyDecoder:
    """Decoder of the bodies of one bus."""

    def __init__(self, accepts: Callable[[int, bool], bool], span: Span = EVER) -> None:
        """`accepts` is a test of (arbitration id, extended); frames outside `span` are left out."""
        self.malformed = 0
        """Packets that CAN does not have, and bodies that cannot be read."""
        self.missing = 0
        """Frames that the headers announce and the bodies do not hold."""
        self._accepts = accepts
        self._span = span
        self._known: dict[bytes, bool] = {}
        """Heads without time stamp that have been checked, and whether frames with them pass the filters."""

    def decode(self, body: bytes, head: BatchHead) -> Batch:
        """Return the frames of a message. Raises BodyError if nothing of it can be used, and counts it."""
        announced = min(head.frames, _MOST_FRAMES)
        try:
            packets = self._inflated(body) if head.compressed else body
        except BodyError:
            self.missing += announced
            raise
        whole = self._span.holds(head.first_us, head.last_us)
        frames, size = self._checked(packets)
        if frames == head.frames and size == len(packets) and whole:
            return Batch(packets, frames)
        batch, good = self._picked(packets, whole=whole)
        self.missing += max(0, announced - good)
        return batch

    def _inflated(self, body: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            packets = inflater.decompress(body, MOST_BYTES)
        except zlib.error as error:
            self.malformed += 1
            raise BodyError(f"the body cannot be decompressed ({error})") from error
        if not inflater.eof:
            self.malformed += 1
            raise BodyError("the compressed body is cut short, or longer than any forwarder writes")
        return packets

    def _checked(self, packets: bytes) -> tuple[int, int]:
        """Return the number of good frames that pass the filters, and the bytes up to the first that does not."""
        frames = position = 0
        known, size = self._known, len(packets)
        while position + HEADER.size <= size:
            head = packets[position + TIMESTAMP.size : position + HEADER.size]
            if not (known[head] if head in known else self._judge(head)):
                break
            end = position + HEADER.size + head[-1]
            if end > size:
                break
            position = end
            frames += 1
        return frames, position

    def _picked(self, packets: bytes, *, whole: bool) -> tuple[Batch, int]:
        """Return the frames that are good, pass the filters and lie within the span; and the number of good ones."""
        picked: list[bytes] = []
        good = position = 0
        size = len(packets)
        from_us, to_us = self._span
        while position < size:
            head = packets[position + TIMESTAMP.size : position + HEADER.size]
            end = position + HEADER.size + (head[-1] if len(head) == AFTER_TIMESTAMP.size else size)
            if end > size:  # the borders of all further packets are unknown
                self.malformed += 1
                break
            if self._known[head] if head in self._known else self._judge(head):
                good += 1
                packet = packets[position:end]
                if whole or from_us <= TIMESTAMP.unpack_from(packet)[0] <= to_us:
                    picked.append(packet)
            elif head_error(*AFTER_TIMESTAMP.unpack(head)):
                self.malformed += 1
            else:
                good += 1
            position = end
        return (Batch(b"".join(picked), len(picked)) if picked else EMPTY_BATCH), good

    def _judge(self, head: bytes) -> bool:
        arbitration_id, flags, length = AFTER_TIMESTAMP.unpack(head)
        passes = not head_error(arbitration_id, flags, length) and self._accepts(
            arbitration_id, bool(flags & EXTENDED)
        )
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
        self._known[head] = passes
        return passes
