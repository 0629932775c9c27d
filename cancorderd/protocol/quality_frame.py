"""Payloads of CANcorder's quality test: numbered, with the sender's time and a checksum. Pure.

A classic frame has 8 bytes: CA FE, sequence (16 bits, big-endian), milliseconds since the sender's start (16 bits), test
id, XOR of the first seven. A frame of CAN FD has 28 to 64 bytes: CA FD, version, test id, flags, length of the frame,
length of this header (16 bits), sequence (64 bits), microseconds of the sender (64 bits), bytes that follow from their
position, test id and sequence, and the CRC-32C over all before, big-endian.
"""

from __future__ import annotations

import functools
import struct
from typing import NamedTuple

CLASSIC_MAGIC = b"\xca\xfe"
FD_MAGIC = b"\xca\xfd"
CLASSIC_LENGTH = 8
FD_HEADER = struct.Struct(">2sBBBBHQQ")
FD_VERSION = 1
FD_RESPONSE = 0x01
"""Flag of a frame that answers another."""
CRC_LENGTH = 4
MIN_FD_LENGTH = FD_HEADER.size + CRC_LENGTH
SEQUENCE_BITS = {False: 16, True: 64}
"""Width of the sequence: of classic frames, and of FD frames."""
CLASSIC_TICK_US = 1000
CLASSIC_TICKS = 1 << 16
"""Milliseconds after which the time of a classic frame wraps."""

_CLASSIC = struct.Struct(">2sHHB")


class QualityFrame(NamedTuple):
    """Content of a valid frame."""

    fd: bool
    test_id: int
    response: bool
    sequence: int
    sender_us: int
    """Microseconds since the sender's start, modulo 65.536 s in a classic frame."""


class Corrupt(ValueError):
    """The payload is no valid frame of the quality test."""


def has_magic(data: bytes) -> bool:
    """Return whether a payload begins like a frame of the quality test."""
    return data[:2] in (CLASSIC_MAGIC, FD_MAGIC)


def classic_payload(sequence: int, elapsed_us: int, test_id: int) -> bytes:
    ticks = elapsed_us // CLASSIC_TICK_US % CLASSIC_TICKS
    head = _CLASSIC.pack(CLASSIC_MAGIC, sequence % (1 << 16), ticks, test_id)
    return head + bytes([functools.reduce(int.__xor__, head)])


def fd_payload(sequence: int, elapsed_us: int, test_id: int, length: int, *, response: bool = False) -> bytes:
    flags = FD_RESPONSE if response else 0
    sequence %= 1 << 64
    head = FD_HEADER.pack(
        FD_MAGIC, FD_VERSION, test_id, flags, length, FD_HEADER.size, sequence, elapsed_us % (1 << 64)
    )
    data = head + _fillings(test_id, length)[sequence & 0xFF]
    return data + crc32c(data).to_bytes(CRC_LENGTH)


def parse(data: bytes, *, fd: bool) -> QualityFrame:
    """Return the content of a payload. Raises Corrupt."""
    return _parse_fd(data) if fd else _parse_classic(data)


def _parse_classic(data: bytes) -> QualityFrame:
    if len(data) != CLASSIC_LENGTH:
        raise Corrupt(f"{len(data)} bytes")
    magic, sequence, ticks, test_id = _CLASSIC.unpack_from(data)
    if magic != CLASSIC_MAGIC:
        raise Corrupt("no magic")
    if functools.reduce(int.__xor__, data):
        raise Corrupt("wrong checksum")
    return QualityFrame(False, test_id, False, sequence, ticks * CLASSIC_TICK_US)


def _parse_fd(data: bytes) -> QualityFrame:
    if len(data) < MIN_FD_LENGTH:
        raise Corrupt(f"{len(data)} bytes")
    magic, version, test_id, flags, length, header, sequence, sender_us = FD_HEADER.unpack_from(data)
    if magic != FD_MAGIC:
        raise Corrupt("no magic")
    if version != FD_VERSION:
        raise Corrupt(f"version {version}")
    if length != len(data) or header != FD_HEADER.size:
        raise Corrupt("wrong length")
    if crc32c(data[:-CRC_LENGTH]) != int.from_bytes(data[-CRC_LENGTH:]):
        raise Corrupt("wrong checksum")
    if data[header:-CRC_LENGTH] != _fillings(test_id, length)[sequence & 0xFF]:
        raise Corrupt("wrong pattern")
    return QualityFrame(True, test_id, bool(flags & FD_RESPONSE), sequence, sender_us)


@functools.lru_cache(16)
def _fillings(test_id: int, length: int) -> list[bytes]:
    """Return the bytes between header and checksum, for each lowest byte of the sequence."""
    doubled = test_id << 8 | test_id
    offsets = [
        i + (doubled >> 8 - (i & 7) & 0xFF)  # i plus test_id, rotated left by i & 7
        for i in range(FD_HEADER.size, length - CRC_LENGTH)
    ]
    return [bytes((low + offset) & 0xFF for offset in offsets) for low in range(0x100)]


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final XOR 0xFFFFFFFF."""
    value = 0xFFFF_FFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFF_FFFF


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_entry(value) for value in range(0x100)]
