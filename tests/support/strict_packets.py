"""Packets of a source, held against every limit of CAN: a client that repairs would not notice a breach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import HEADER, encoding_error

if TYPE_CHECKING:
    from cancorderd.protocol.batch import Batch


def strict_frames(batch: Batch) -> list[Frame]:
    """Return the frames of a batch; fails if a packet is cut, breaks a limit, or is not counted."""
    frames = []
    position = 0
    while position < len(batch.packets):
        timestamp_us, arbitration_id, flags, length = HEADER.unpack_from(batch.packets, position)
        data = batch.packets[position + HEADER.size : position + HEADER.size + length]
        assert len(data) == length
        frame = Frame(timestamp_us, arbitration_id, flags, data)
        assert encoding_error(frame) is None
        frames.append(frame)
        position += HEADER.size + length
    assert len(frames) == batch.frames
    return frames
