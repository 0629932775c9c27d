"""Marks in a stream of packets to the supervisor itself: the number of clients from there on. Pure.

A mark looks like a packet, with a flag that no frame has. Clients never get it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.packets import HEADER

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

AUDIENCE = 0x20


def audience_mark(clients: int) -> bytes:
    return HEADER.pack(0, clients, AUDIENCE, 0)


class MarkedDecoder(ForgivingDecoder):
    """Decoder of a stream with marks."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: int | None = None
        """Clients that the last frame was sent to; None before the first mark."""

    def _accepted(self, frame: Frame) -> Frame | None:
        if frame.flags == AUDIENCE:
            self.clients = frame.arbitration_id
            return None
        return super()._accepted(frame)
