"""The ECUconnect Logger protocol: packets, their limits, and a client's decoder. Pure.

A stream is packets back to back, server to client only: `>QIBB` (time stamp in microseconds since
the Unix epoch, arbitration id without flag bits, flags, payload length in bytes), then the payload.
Flags are those of `frame`. No hello, no heartbeat, nothing from client to server. Remote and error
frames have no form here.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cancorderd.errors import WireError
from cancorderd.frame import (
    BRS,
    CLASSIC_MAX_LENGTH,
    DLC_LENGTHS,
    ESI,
    EXTENDED,
    FD,
    FD_MAX_LENGTH,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    Frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER = struct.Struct(">QIBB")
MAX_PACKET = HEADER.size + FD_MAX_LENGTH

SERVICE_TYPE = "_ecuconnect-log._tcp.local."
"""By which Zeroconf finds who serves such streams."""
SERVICE_PREFIX = "ECUconnect-Logger"
"""What the name of each of them begins with."""

_MAX_TIMESTAMP_US = (1 << 64) - 1
_KNOWN_FLAGS = EXTENDED | FD | BRS | ESI
_FD_LENGTHS = frozenset(DLC_LENGTHS)


def mistake(frame: Frame) -> str | None:
    """What keeps `frame` from being a packet, or None where nothing does."""
    timestamp_us, arbitration_id, flags, data = frame
    if not 0 <= timestamp_us <= _MAX_TIMESTAMP_US:
        return f"time stamp {timestamp_us} does not fit 64 bits"
    if flags & ~_KNOWN_FLAGS:
        return f"flags are 0x{flags:02X}; bits above 0x{_KNOWN_FLAGS:02X} have no meaning"
    if flags & (BRS | ESI) and not flags & FD:
        return f"flags are 0x{flags:02X}; BRS and ESI occur with FD only"
    highest = MAX_EXTENDED_ID if flags & EXTENDED else MAX_STANDARD_ID
    if not 0 <= arbitration_id <= highest:
        return f"arbitration id 0x{arbitration_id:X} is above 0x{highest:X}"
    if not flags & FD and len(data) > CLASSIC_MAX_LENGTH:
        return f"{len(data)} bytes; a classic frame holds at most {CLASSIC_MAX_LENGTH}"
    if flags & FD and len(data) not in _FD_LENGTHS:
        return f"{len(data)} bytes; CAN FD has no such length"
    return None


def encode(frame: Frame) -> bytes:
    """The packet for `frame`. Raises WireError where it breaks a limit of CAN."""
    if wrong := mistake(frame):
        raise WireError(wrong)
    return HEADER.pack(*frame[:3], len(frame.data)) + frame.data


def encode_all(frames: Iterable[Frame]) -> bytes:
    """The packets for `frames`, back to back."""
    return b"".join(map(encode, frames))


class PacketDecoder:
    """A client's side: bytes in, frames out; opens nothing, waits for nothing.

    Holds less than one packet more than the last `receive` brought.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0

    def receive(self, data: bytes) -> None:
        """Take bytes as they came, cut anywhere."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes arrive.

        Raises WireError once the stream cannot be trusted: close it.
        """
        start = self._at
        if len(self._buffer) - start < HEADER.size:
            return None
        timestamp_us, arbitration_id, flags, length = HEADER.unpack_from(self._buffer, start)
        if length > FD_MAX_LENGTH:
            raise WireError(f"length byte is {length}; a CAN FD frame holds at most {FD_MAX_LENGTH} bytes")
        end = start + HEADER.size + length
        if len(self._buffer) < end:
            return None
        frame = Frame(timestamp_us, arbitration_id, flags, bytes(self._buffer[start + HEADER.size : end]))
        if wrong := mistake(frame):
            raise WireError(wrong)
        self._at = end
        return frame

    def frames(self) -> Iterator[Frame]:
        """Every whole frame that has arrived. Raises WireError as `next_frame` does."""
        while (frame := self.next_frame()) is not None:
            yield frame

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not whole yet."""
        return len(self._buffer) - self._at
