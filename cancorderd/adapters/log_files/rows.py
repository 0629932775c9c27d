"""Frames of tables, as python-can writes them into .csv and .db. Pure."""

from __future__ import annotations

from cancorderd.adapters.log_files.entries import Kind, LogFrame, Unreadable
from cancorderd.protocol.frame import CLASSIC_MAX_LENGTH, EXTENDED, FD


def row_frame(
    number: int, stamp_s: float, kind: Kind, arbitration_id: int, *, extended: bool, length: int, data: bytes
) -> LogFrame:
    """Return the frame of a row. The tables have no flag for CAN FD: more than 8 bytes are CAN FD."""
    flags = EXTENDED if extended else 0
    if kind is not Kind.DATA:
        return LogFrame(number, stamp_s, kind, arbitration_id, flags, code=length)
    if len(data) != length:
        raise Unreadable(f"{len(data)} of {length} bytes")
    if length > CLASSIC_MAX_LENGTH:
        flags |= FD
    return LogFrame(number, stamp_s, kind, arbitration_id, flags, data)
