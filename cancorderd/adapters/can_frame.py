"""Bits and sizes of SocketCAN's frames, which gs_usb adapters use on the wire too (linux/can.h). Pure."""

from __future__ import annotations

# Flag bits above the arbitration id.
EFF_FLAG = 0x8000_0000
"""29-bit arbitration id."""
RTR_FLAG = 0x4000_0000
"""Remote frame."""
ERR_FLAG = 0x2000_0000
"""Error frame; the rest of the id is its class (`error_frames`)."""

SFF_MASK = 0x7FF
EFF_MASK = 0x1FFF_FFFF
ERR_MASK = 0x1FFF_FFFF

CANFD_MTU = 72
"""Size of struct canfd_frame; an interface with this MTU carries CAN FD."""
