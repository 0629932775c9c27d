"""ISO-TP frames, encoded and decoded (ISO 15765-2:2016, clause 9.6). Pure.

Covers single, first, consecutive and flow control frames for classic CAN and CAN FD, with normal
addressing. Their sequence is decided in `isotp_endpoint`. Messages have up to 4,095 bytes; the longer form
of a first frame is decoded, so that a receiver can refuse it, but never encoded.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from cancorderd.protocol.frame import CLASSIC_MAX_LENGTH, DLC_LENGTHS, FD_MAX_LENGTH

MAX_MESSAGE = 4095
"""Largest 12-bit length of a first frame (9.6.3.1)."""

PADDING = 0xCC
"""Padding byte that causes few stuff bits (recommended in ISO 15765-2, 10.4.2.1)."""

SEQUENCE_NUMBERS = 16


class FlowStatus(enum.IntEnum):
    """Flow status, from the receiver to the sender (table 18)."""

    CONTINUE = 0
    WAIT = 1
    OVERFLOW = 2


class SingleFrame(NamedTuple):
    payload: bytes


class FirstFrame(NamedTuple):
    length: int
    payload: bytes


class ConsecutiveFrame(NamedTuple):
    sequence: int
    payload: bytes


class FlowControl(NamedTuple):
    status: int
    block_size: int
    st_min: int


def single_room(frame_length: int) -> int:
    """Return the longest message that fits into a single frame of `frame_length` bytes (9.6.2.1)."""
    return frame_length - (1 if frame_length <= CLASSIC_MAX_LENGTH else 2)


def single(payload: bytes, padding: int = PADDING) -> bytes:
    """Return a single frame; above 7 bytes, in the form for FD frames only. Raises ValueError."""
    if not 1 <= len(payload) <= single_room(FD_MAX_LENGTH):
        raise ValueError(f"{len(payload)} bytes do not fit a single frame")
    header = bytes([len(payload)]) if len(payload) <= 7 else bytes([0, len(payload)])
    return _padded(header + payload, padding)


def first(message: bytes, frame_length: int) -> bytes:
    """Return the first frame of `message`, which fills the whole frame (9.6.3.1). Raises ValueError."""
    if not single_room(frame_length) < len(message) <= MAX_MESSAGE:
        raise ValueError(f"{len(message)} bytes are no message for frames of {frame_length}")
    return (0x1000 | len(message)).to_bytes(2, "big") + message[: frame_length - 2]


def consecutive(sequence: int, payload: bytes, padding: int = PADDING) -> bytes:
    """Return a consecutive frame; the sequence number wraps from 15 to 0 (9.6.4.2)."""
    return _padded(bytes([0x20 | sequence % SEQUENCE_NUMBERS]) + payload, padding)


def flow(status: FlowStatus, block_size: int = 0, st_min: int = 0, padding: int = PADDING) -> bytes:
    return _padded(bytes([0x30 | status, block_size, st_min]), padding)


def parse(frame: bytes) -> SingleFrame | FirstFrame | ConsecutiveFrame | FlowControl | None:
    """Decode `frame`. Return None if a receiver has to ignore it (9.6.2.2, 9.6.3.2)."""
    if not frame:
        return None
    match frame[0] >> 4:
        case 0:
            return _parse_single(frame)
        case 1:
            return _parse_first(frame)
        case 2 if len(frame) > 1:
            return ConsecutiveFrame(frame[0] & 0x0F, frame[1:])
        case 3 if len(frame) >= 3:
            return FlowControl(frame[0] & 0x0F, frame[1], frame[2])
    return None


def st_min_s(raw: int) -> float:
    """Return the seconds of an STmin byte; reserved values mean the longest time, 127 ms (9.6.5.5)."""
    if raw <= 0x7F:
        return raw / 1000
    if 0xF1 <= raw <= 0xF9:
        return (raw - 0xF0) / 10_000
    return 0.127


def _parse_single(frame: bytes) -> SingleFrame | None:
    if len(frame) <= CLASSIC_MAX_LENGTH:
        length, start = frame[0] & 0x0F, 1
        fits = 1 <= length <= len(frame) - start
    else:
        length, start = frame[1], 2
        # If a message fits into 8 bytes, no longer frame is used: table 10.
        fits = frame[0] == 0 and 8 <= length <= len(frame) - start
    return SingleFrame(frame[start : start + length]) if fits else None


def _parse_first(frame: bytes) -> FirstFrame | None:
    if len(frame) < CLASSIC_MAX_LENGTH:
        return None
    length = int.from_bytes(frame[:2], "big") & 0x0FFF
    start = 2
    if length == 0:
        length, start = int.from_bytes(frame[2:6], "big"), 6
        if length <= MAX_MESSAGE:
            return None
    if length <= single_room(len(frame)):
        return None
    return FirstFrame(length, frame[start:])


def _padded(frame: bytes, padding: int) -> bytes:
    """Return `frame` padded to 8 bytes or, if it is longer, to the next length of an FD frame."""
    whole = next(n for n in DLC_LENGTHS if n >= max(len(frame), CLASSIC_MAX_LENGTH))
    return frame.ljust(whole, bytes([padding]))
