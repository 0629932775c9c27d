"""The firmware image that a tester downloads: plausible bytes with a checksum. Pure.

It consists of header, body and, big-endian, the CRC-32 (zlib's polynomial) of everything before.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

BASE_ADDRESS = 0x0008_0000
"""Start of the flash memory for an image; FLASH_SIZE is its size. The ancestor's values."""
FLASH_SIZE = 0x0004_0000

MAGIC = b"CANCORDR"
VERSION_LENGTH = 16
HEADER_LENGTH = len(MAGIC) + 4 + VERSION_LENGTH
CHECKSUM_LENGTH = 4
MIN_SIZE = HEADER_LENGTH + CHECKSUM_LENGTH

_FILL = b"\xff" * 64
_CHUNK = 192


def build(size: int, version: str, rng: random.Random) -> bytes:
    """Return an image of `size` bytes in total. Raises ValueError below MIN_SIZE or above FLASH_SIZE."""
    if not MIN_SIZE <= size <= FLASH_SIZE:
        raise ValueError(f"an image has {MIN_SIZE} to {FLASH_SIZE} bytes, not {size}")
    parts = [MAGIC, size.to_bytes(4, "big"), version.encode("ascii").ljust(VERSION_LENGTH, b"\0")]
    # Code with unused flash in between, as left by linkers.
    for _ in range(0, size, _CHUNK + len(_FILL)):
        parts += (rng.randbytes(_CHUNK), _FILL)
    body = b"".join(parts)[: size - CHECKSUM_LENGTH]
    return body + checksum(body)


def checksum(body: bytes) -> bytes:
    return binascii.crc32(body).to_bytes(CHECKSUM_LENGTH, "big")


def is_whole(image: bytes) -> bool:
    """Return whether header and checksum match: no byte is missing or changed."""
    return (
        len(image) >= MIN_SIZE
        and image.startswith(MAGIC)
        and int.from_bytes(image[len(MAGIC) : len(MAGIC) + 4], "big") == len(image)
        and checksum(image[:-CHECKSUM_LENGTH]) == image[-CHECKSUM_LENGTH:]
    )


def version_of(image: bytes) -> str:
    """Return the version in a complete image."""
    return image[HEADER_LENGTH - VERSION_LENGTH : HEADER_LENGTH].rstrip(b"\0").decode("ascii")
