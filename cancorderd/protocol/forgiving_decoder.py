"""Decoder for streams that others have packed: odd packets are repaired or skipped, and counted. Pure.

Only an impossible length byte makes the borders of the packets unknown. Any other packet that breaks a limit of
CAN ends in the right place: it is repaired if its meaning is plain (loggers send 29-bit ids without the extended
flag), else skipped.
"""

from __future__ import annotations

from cancorderd.protocol.frame import (
    BRS,
    CLASSIC_MAX_LENGTH,
    ERROR,
    ESI,
    EXTENDED,
    FD,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    REMOTE,
    Frame,
)
from cancorderd.protocol.packets import KNOWN_FLAGS, PacketDecoder, encoding_error

_NOT_DATA_FLAGS = REMOTE | ERROR
_NOT_DATA_IDS = 0x6000_0000
"""CAN_RTR_FLAG and CAN_ERR_FLAG (linux/can.h), which some loggers leave in the id, as they do CAN_EFF_FLAG."""


def repaired(frame: Frame) -> Frame | None:
    """Return the data frame that a packet beyond the limits of CAN means, or None if it means none."""
    timestamp_us, arbitration_id, flags, data = frame
    if flags & _NOT_DATA_FLAGS:
        return None
    if arbitration_id > MAX_EXTENDED_ID and arbitration_id & _NOT_DATA_IDS:
        return None
    flags &= KNOWN_FLAGS
    if arbitration_id > MAX_STANDARD_ID:
        flags |= EXTENDED
    if len(data) > CLASSIC_MAX_LENGTH:
        flags |= FD
    if not flags & FD:
        flags &= ~(BRS | ESI)
    found = Frame(timestamp_us, arbitration_id & MAX_EXTENDED_ID, flags, data)
    return None if encoding_error(found) else found


class ForgivingDecoder(PacketDecoder):
    """A `PacketDecoder` that raises WireError only when the borders of the packets are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.repaired = 0
        """Packets that were repaired."""
        self.skipped = 0
        """Packets without a frame."""
        self.first_fault = ""
        """The fault of the first of these packets."""

    def _accepted(self, frame: Frame) -> Frame | None:
        fault = encoding_error(frame)
        if fault is None:
            return frame
        self.first_fault = self.first_fault or fault
        found = repaired(frame)
        if found is None:
            self.skipped += 1
        else:
            self.repaired += 1
        return found
