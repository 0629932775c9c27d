"""ISO-TP frames: what the bytes of one CAN frame mean (ISO 15765-2:2016, clause 9.6). Pure.

Single, first, consecutive and flow control frames are built and read here, for classic and FD frames, in
normal addressing. Who sends which when is `transport`'s business. Messages of up to 4,095 bytes; the longer
form of a first frame is read, so that a receiver can refuse it, never built.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from cancorderd.frame import CLASSIC_MAX_LENGTH, DLC_LENGTHS, FD_MAX_LENGTH

MAX_MESSAGE = 4095
"""The most that a first frame's 12-bit length can say (9.6.3.1)."""

PADDING = 0xCC
"""Filler with few stuff bits (ISO 15765-2, 10.4.2.1 recommends it)."""

SEQUENCE_NUMBERS = 16


class FlowStatus(enum.IntEnum):
    """What a receiver tells a sender (table 18)."""

    CONTINUE = 0
    WAIT = 1
    OVERFLOW = 2


class Single(NamedTuple):
    payload: bytes


class First(NamedTuple):
    length: int
    payload: bytes


class Consecutive(NamedTuple):
    sequence: int
    payload: bytes


class Flow(NamedTuple):
    status: int
    block_size: int
    st_min: int


def single_room(frame_length: int) -> int:
    """The longest message that fits a single frame of `frame_length` bytes (9.6.2.1)."""
    return frame_length - (1 if frame_length <= CLASSIC_MAX_LENGTH else 2)


def single(payload: bytes, padding: int = PADDING) -> bytes:
    """A single frame; above 7 bytes in the form that only FD frames have."""
    if not 1 <= len(payload) <= single_room(FD_MAX_LENGTH):
        raise ValueError(f"{len(payload)} bytes do not fit a single frame")
    header = bytes([len(payload)]) if len(payload) <= 7 else bytes([0, len(payload)])
    return _padded(header + payload, padding)


def first(message: bytes, frame_length: int) -> bytes:
    """The first frame of `message`; it fills the whole frame (9.6.3.1)."""
    if not single_room(frame_length) < len(message) <= MAX_MESSAGE:
        raise ValueError(f"{len(message)} bytes are no message for frames of {frame_length}")
    return (0x1000 | len(message)).to_bytes(2, "big") + message[: frame_length - 2]


def consecutive(sequence: int, payload: bytes, padding: int = PADDING) -> bytes:
    """A consecutive frame; the sequence number wraps from 15 to 0 (9.6.4.2)."""
    return _padded(bytes([0x20 | sequence % SEQUENCE_NUMBERS]) + payload, padding)


def flow(status: FlowStatus, block_size: int = 0, st_min: int = 0, padding: int = PADDING) -> bytes:
    return _padded(bytes([0x30 | status, block_size, st_min]), padding)


def parse(frame: bytes) -> Single | First | Consecutive | Flow | None:
    """What `frame` says; None where the standard has a receiver ignore it (9.6.2.2, 9.6.3.2)."""
    if not frame:
        return None
    match frame[0] >> 4:
        case 0:
            return _parse_single(frame)
        case 1:
            return _parse_first(frame)
        case 2 if len(frame) > 1:
            return Consecutive(frame[0] & 0x0F, frame[1:])
        case 3 if len(frame) >= 3:
            return Flow(frame[0] & 0x0F, frame[1], frame[2])
    return None


def st_min_s(raw: int) -> float:
    """Seconds that STmin's byte asks for; reserved values mean the longest, 127 ms (9.6.5.5)."""
    if raw <= 0x7F:
        return raw / 1000
    if 0xF1 <= raw <= 0xF9:
        return (raw - 0xF0) / 10_000
    return 0.127


def _parse_single(frame: bytes) -> Single | None:
    if len(frame) <= CLASSIC_MAX_LENGTH:
        length, start = frame[0] & 0x0F, 1
        fits = 1 <= length <= len(frame) - start
    else:
        length, start = frame[1], 2
        # A message that fits 8 bytes is not sent in a longer frame: table 10.
        fits = frame[0] == 0 and 8 <= length <= len(frame) - start
    return Single(frame[start : start + length]) if fits else None


def _parse_first(frame: bytes) -> First | None:
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
    return First(length, frame[start:])


def _padded(frame: bytes, padding: int) -> bytes:
    """`frame` filled up to 8 bytes, or to the next length that an FD frame can have."""
    whole = next(n for n in DLC_LENGTHS if n >= max(len(frame), CLASSIC_MAX_LENGTH))
    return frame.ljust(whole, bytes([padding]))
