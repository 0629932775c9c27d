"""Remote and error frames as packets, for readers inside the machine: the recorder and the control socket. Pure.

The protocol has no form for these frames, and the TCP ports never carry them (`batch.Batch.packets` has none). A packet
of a remote frame has the flag REMOTE; its length byte is the DLC, and no payload follows. A packet of an error frame has
the flag ERROR; its arbitration id is the class of the error, and its payload the 8 bytes that explain it (linux/can/error.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.frame import CLASSIC_MAX_LENGTH, ERROR, EXTENDED, REMOTE
from cancorderd.protocol.packets import HEADER, MAX_TIMESTAMP_US, head_error

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

ERROR_CLASS_MASK = 0x1FFF_FFFF
BUS_ERROR = 0x80
"""CAN_ERR_BUSERROR: the class of an error frame whose adapter explains nothing."""


def remote_packet(timestamp_us: int, arbitration_id: int, code: int, *, extended: bool) -> bytes:
    """Return the packet of a remote frame with this DLC code; empty if CAN has no such frame."""
    flags = EXTENDED if extended else 0
    if head_error(arbitration_id, flags, 0) or not 0 <= timestamp_us <= MAX_TIMESTAMP_US:
        return b""
    # ISO 11898-1: DLC codes above 8 stand for 8 bytes in a classic frame.
    return HEADER.pack(timestamp_us, arbitration_id, flags | REMOTE, min(code, CLASSIC_MAX_LENGTH))


def error_packet(timestamp_us: int, error_class: int, detail: bytes = b"") -> bytes:
    """Return the packet of an error frame, with zeros behind a `detail` of less than 8 bytes."""
    if not 0 <= timestamp_us <= MAX_TIMESTAMP_US:
        return b""
    payload = bytes(detail[:CLASSIC_MAX_LENGTH]).ljust(CLASSIC_MAX_LENGTH, b"\0")
    return HEADER.pack(timestamp_us, error_class & ERROR_CLASS_MASK, ERROR, CLASSIC_MAX_LENGTH) + payload


class InternalDecoder(ForgivingDecoder):
    """Decoder of a stream inside the machine: data frames, remote frames and error frames.

    A `Frame` of a remote frame has zeros as its data, as many bytes as its DLC says.
    """

    _without_payload = REMOTE

    def _accepted(self, frame: Frame) -> Frame | None:
        if frame.flags & REMOTE:
            return frame._replace(data=bytes(self._length_byte))
        return frame if frame.flags & ERROR else super()._accepted(frame)
