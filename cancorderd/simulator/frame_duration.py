"""The time that a frame keeps the bus busy. Pure."""

from __future__ import annotations

from cancorderd.protocol.frame import EXTENDED, FD

STUFFING = 1.1
"""Factor for stuff bits, between none and one in four of the bits that are subject to stuffing."""


def duration_s(flags: int, length: int, bitrate: int, data_bitrate: int) -> float:
    """Return how long a frame of `length` bytes occupies the bus, interframe space included, with plausible stuffing."""
    extended = bool(flags & EXTENDED)
    bits = 8 * length
    if not flags & FD:
        stuffed = (54 if extended else 34) + bits
        return (stuffed * STUFFING + 13) / bitrate
    # Bits up to BRS and from the CRC delimiter on have the nominal bit rate, those between the data bit rate.
    nominal = (36 if extended else 17) * STUFFING + 13
    checksum = 28 if length <= 16 else 33
    return nominal / bitrate + (5 + bits * STUFFING + checksum) / data_bitrate
