"""The ECUconnect Logger protocol: packets, their limits, and their decoder. Pure.

A stream consists of packets back to back, from server to client only. A packet is a header (time stamp in
microseconds since the Unix epoch, arbitration id without flag bits, flags, payload length in bytes) and the
payload. `frame` has the flags. There is no greeting, no heartbeat, and nothing from client to server. Remote
and error frames cannot be encoded; `internal_packets` has their form inside the machine.

`head_error` is the check that every packet passes where it is packed: `packet` and `encode` do it for a frame,
`packet_heads.HeadCache` for the decoders of adapters, which pack whole batches.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import (
    BRS,
    CLASSIC_MAX_LENGTH,
    DLC_LENGTHS,
    ESI,
    EXTENDED,
    FD,
    FD_MAX_LENGTH,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    REMOTE,
    Frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cancorderd.protocol.batch import Batch

HEADER = struct.Struct(">QIBB")
TIMESTAMP = struct.Struct(">Q")
"""First field of the header."""
AFTER_TIMESTAMP = struct.Struct(">IBB")
"""The other fields of the header, for those who pack them once for many packets."""
MAX_PACKET = HEADER.size + FD_MAX_LENGTH

MAX_TIMESTAMP_US = (1 << 64) - 1
KNOWN_FLAGS = EXTENDED | FD | BRS | ESI
_FD_LENGTHS = frozenset(DLC_LENGTHS)


class WireError(ValueError):
    """Not an ECUconnect Logger stream, or a frame that cannot be encoded."""


def encoding_error(frame: Frame) -> str | None:
    """Return why `frame` cannot be encoded, or None if it can."""
    timestamp_us, arbitration_id, flags, data = frame
    if not 0 <= timestamp_us <= MAX_TIMESTAMP_US:
        return f"time stamp {timestamp_us} does not fit 64 bits"
    return head_error(arbitration_id, flags, len(data))


def head_error(arbitration_id: int, flags: int, length: int) -> str | None:
    """Return the limit of CAN that a frame with `length` bytes breaks, or None if there is none."""
    if flags & ~KNOWN_FLAGS:
        return f"flags are 0x{flags:02X}; bits above 0x{KNOWN_FLAGS:02X} have no meaning"
    if flags & (BRS | ESI) and not flags & FD:
        return f"flags are 0x{flags:02X}; BRS and ESI occur with FD only"
    highest = MAX_EXTENDED_ID if flags & EXTENDED else MAX_STANDARD_ID
    if not 0 <= arbitration_id <= highest:
        return f"arbitration id 0x{arbitration_id:X} is above 0x{highest:X}"
    if not flags & FD and length > CLASSIC_MAX_LENGTH:
        return f"{length} bytes; a classic frame holds at most {CLASSIC_MAX_LENGTH}"
    if flags & FD and length not in _FD_LENGTHS:
        return f"{length} bytes; CAN FD has no such length"
    return None


def head(arbitration_id: int, flags: int, length: int) -> bytes:
    """Return the header behind the time stamp; empty if the frame breaks a limit of CAN."""
    if head_error(arbitration_id, flags, length):
        return b""
    return AFTER_TIMESTAMP.pack(arbitration_id, flags, length)


def packet(timestamp_us: int, arbitration_id: int, flags: int, data: bytes) -> bytes:
    """Return the packet of a single frame; empty if the frame breaks a limit of CAN."""
    checked = head(arbitration_id, flags, len(data))
    if not checked or not 0 <= timestamp_us <= MAX_TIMESTAMP_US:
        return b""
    return TIMESTAMP.pack(timestamp_us) + checked + data


def encode(frame: Frame) -> bytes:
    """Return the packet for `frame`. Raises WireError if the frame breaks a limit of CAN."""
    if error := encoding_error(frame):
        raise WireError(error)
    return HEADER.pack(*frame[:3], len(frame.data)) + frame.data


def encode_all(frames: Iterable[Frame]) -> bytes:
    """Return the packets for `frames`, back to back. Raises WireError as `encode` does."""
    return b"".join(map(encode, frames))


def restamped(batch: Batch, timestamp_us: int) -> Batch:
    """Return the same frames with another time stamp."""
    stamp = TIMESTAMP.pack(timestamp_us)
    return batch._replace(
        packets=_restamped(batch.packets, stamp), complete=_restamped(batch.complete, stamp)
    )


def _restamped(packets: bytes, stamp: bytes) -> bytes:
    parts: list[bytes] = []
    start = 0
    while start < len(packets):
        flags, length = packets[start + HEADER.size - 2 : start + HEADER.size]
        end = start + HEADER.size + (0 if flags & REMOTE else length)
        parts += stamp, packets[start + TIMESTAMP.size : end]
        start = end
    return b"".join(parts)


class PacketDecoder:
    """Decoder of packets: bytes in, frames out. Opens nothing, waits for nothing.

    It refuses every packet that `encode` would refuse; clients use a `forgiving_decoder`. Its buffer holds the
    bytes of the last `receive`, and less than a packet from before.
    """

    _without_payload = 0
    """Flags of packets without payload, whatever their length byte."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0

    def receive(self, data: bytes) -> None:
        """Add bytes, which may begin and end within a packet."""
        del self._buffer[: self._position]
        self._position = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next frame, or None if its packet is not complete yet.

        Raises WireError if the stream cannot be trusted: close it.
        """
        while True:
            start = self._position
            if len(self._buffer) - start < HEADER.size:
                return None
            timestamp_us, arbitration_id, flags, length = HEADER.unpack_from(self._buffer, start)
            if length > FD_MAX_LENGTH:
                raise WireError(
                    f"length byte is {length}; a CAN FD frame holds at most {FD_MAX_LENGTH} bytes"
                )
            end = start + HEADER.size + (0 if flags & self._without_payload else length)
            if len(self._buffer) < end:
                return None
            data = bytes(self._buffer[start + HEADER.size : end])
            frame = self._accepted(Frame(timestamp_us, arbitration_id, flags, data))
            self._position = end
            if frame is not None:
                return frame

    def _accepted(self, frame: Frame) -> Frame | None:
        """Return the frame of a packet, or None to skip the packet. Raises WireError to refuse the stream."""
        if error := encoding_error(frame):
            raise WireError(error)
        return frame

    def frames(self) -> Iterator[Frame]:
        """Yield every complete frame that has arrived. Raises WireError as `next_frame` does."""
        while (frame := self.next_frame()) is not None:
            yield frame

    @property
    def _length_byte(self) -> int:
        """The length byte of the packet that `_accepted` has."""
        return self._buffer[self._position + HEADER.size - 1]

    @property
    def pending(self) -> int:
        """Number of bytes that wait for the rest of their packet."""
        return len(self._buffer) - self._position
