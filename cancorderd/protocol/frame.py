"""A CAN data frame as a value, the flag bits of the protocol, and the limits of CAN. Pure.

Frames are for clients, recordings and tests. The frame path does not build them: sources turn the adapter's
data straight into packets (`packets`).
"""

from __future__ import annotations

from typing import NamedTuple

EXTENDED = 0x01
"""29-bit arbitration id."""
FD = 0x02
"""CAN FD frame (ISO 11898-1:2015)."""
BRS = 0x04
"""Bit rate switch: the data phase used the data bitrate. Only with FD."""
ESI = 0x08
"""Error state indicator: the sender was error-passive. Only with FD."""
REMOTE = 0x40
"""Remote frame; inside the machine only (`internal_packets`)."""
ERROR = 0x80
"""Error frame; inside the machine only (`internal_packets`)."""

MAX_STANDARD_ID = 0x7FF
MAX_EXTENDED_ID = 0x1FFF_FFFF

CLASSIC_MAX_LENGTH = 8
FD_MAX_LENGTH = 64

DLC_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
"""Payload bytes for each DLC code 0-15 (ISO 11898-1:2015, table 5); classic frames stop at 8."""


class Frame(NamedTuple):
    """A data frame. `timestamp_us` counts microseconds since the Unix epoch."""

    timestamp_us: int
    arbitration_id: int
    flags: int = 0
    data: bytes = b""

    @property
    def timestamp_s(self) -> float:
        """Seconds since the Unix epoch; rounded to some 0.2 µs, the resolution of a float for today's times."""
        return self.timestamp_us / 1_000_000

    @property
    def is_extended(self) -> bool:
        """True for a 29-bit arbitration id."""
        return bool(self.flags & EXTENDED)

    @property
    def is_fd(self) -> bool:
        """True for a CAN FD frame."""
        return bool(self.flags & FD)

    @property
    def bitrate_switch(self) -> bool:
        """True if the data phase used the data bitrate (BRS)."""
        return bool(self.flags & BRS)

    @property
    def error_state_indicator(self) -> bool:
        """True if the sender was error-passive (ESI)."""
        return bool(self.flags & ESI)
