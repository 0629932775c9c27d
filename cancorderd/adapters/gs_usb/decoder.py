"""gs_usb on the wire: requests, feature bits, and the frames of the bulk endpoint as packets. Pure.

Little endian throughout. Each USB transfer carries one struct gs_host_frame (the kernel's
drivers/net/can/usb/gs_usb.c): echo id, CAN id with SocketCAN's flag bits, DLC code, channel, flags, then
8 bytes of payload or 64 with CAN FD, then the adapter's time stamp if it was requested.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.can_frame import EFF_FLAG, EFF_MASK, ERR_FLAG, RTR_FLAG
from cancorderd.adapters.error_frames import BUS_OFF, ERR_BUSOFF, ErrorFrameCounter
from cancorderd.adapters.wire_flags import wire_flags_by_byte
from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
from cancorderd.protocol.frame import DLC_LENGTHS, EXTENDED
from cancorderd.protocol.internal_packets import error_packet, remote_packet
from cancorderd.protocol.packet_heads import HeadCache
from cancorderd.protocol.packets import TIMESTAMP, head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# Control requests (enum gs_usb_breq).
HOST_FORMAT = 0
BITTIMING = 1
MODE = 2
BT_CONST = 4
DEVICE_CONFIG = 5
DATA_BITTIMING = 10
BT_CONST_EXT = 11

# Features of an adapter, and modes of a channel: the same bits.
LISTEN_ONLY = 1 << 0
HW_TIMESTAMP = 1 << 4
CAN_FD = 1 << 8
HAS_BT_CONST_EXT = 1 << 10

BYTE_ORDER = Struct("<I").pack(0x0000_BEEF)
"""The payload of HOST_FORMAT: "little endian", which all firmware in use requires."""
STAMP_MODULUS_US = 1 << 32

_HEAD = Struct("<IIBBB")
_PAYLOAD = 12
_STAMP = Struct("<I")
_CLASSIC_BYTES = 8
_FD_BYTES = 64

_RECEIVED = 0xFFFF_FFFF
"""Echo id of a frame from the bus; any other confirms one that was sent."""

_FLAG_OVERFLOW = 0x01
_FLAG_FD = 0x02
_FLAG_BRS = 0x04
_FLAG_ESI = 0x08

_FD_FLAGS = wire_flags_by_byte(brs=_FLAG_BRS, esi=_FLAG_ESI)
_HIGHEST_CODE = 15


def transfer_bytes(*, fd: bool, stamped: bool) -> int:
    """Return the size of the longest host frame that a channel in this mode sends."""
    return _PAYLOAD + (_FD_BYTES if fd else _CLASSIC_BYTES) + (_STAMP.size if stamped else 0)


class _Beginning(NamedTuple):
    """The common part of transfers that begin alike."""

    head: bytes
    """Of the packet; empty if the frame has no form on the wire."""
    length: int
    end: int
    """Of the payload's space in the transfer: the stamp follows."""
    ordinary: bool
    """Whether it is a data frame of this channel, without the overflow flag."""
    accepted: bool
    """Whether the filters pass it."""


_TOO_SHORT = _Beginning(b"", 0, _PAYLOAD + _FD_BYTES, ordinary=False, accepted=False)


class GsUsbDecoder(ErrorFrameCounter):
    """Transfers in, packets out; counts frames that have no form on the wire."""

    def __init__(
        self,
        channel: int = 0,
        epoch_us: Callable[[int, int], int] | None = None,
        accepts: Callable[[int, bool], bool] | None = None,
    ) -> None:
        """`epoch_us` maps a stamp and the time of arrival to the epoch; None if frames carry no stamps."""
        super().__init__("error-active")  # adapters report changes only, and start in this state
        self.internal = False
        """Whether `decode` also returns remote and error frames, in `Batch.complete`."""
        self.malformed = 0
        self.remote_frames = 0
        self.stamps_missing = False
        """A frame came without the stamp that was requested: from then on arrivals are the stamps."""
        self._channel = channel
        self._epoch_us = epoch_us
        self._accepts = accepts
        self._beginnings = HeadCache(self._beginning)

    def decode(self, transfers: Sequence[bytes], now_us: int) -> Batch:
        """Return the packets of `transfers`, which hold a frame each and arrived at `now_us`."""
        packets: list[bytes] = []
        internal: list[int] = []
        beginnings, epoch_us = self._beginnings, None if self.stamps_missing else self._epoch_us
        pack, unpack_stamp = TIMESTAMP.pack, _STAMP.unpack_from
        tail = _STAMP.size if epoch_us else 0
        for transfer in transfers:
            checked, length, end, ordinary, accepted = beginnings[transfer[: _HEAD.size]]
            if len(transfer) < end + tail:
                if len(transfer) != end:
                    self.malformed += 1
                    continue
                if checked:
                    self.stamps_missing = True
                    epoch_us, tail = None, 0
            if not ordinary:
                other = self._other_frame(transfer, now_us)
                if other:
                    internal.append(len(packets))
                    packets.append(other)
                if not checked:
                    continue
            stamp_us = epoch_us(unpack_stamp(transfer, end)[0], now_us) if epoch_us else now_us
            if accepted:
                packets.append(pack(stamp_us) + checked + transfer[_PAYLOAD : _PAYLOAD + length])
        if self.controller == BUS_OFF and self._hears_the_bus(transfers):
            self.refute_bus_off()
        if internal:
            return batch_of(packets, internal)
        return Batch(b"".join(packets), len(packets)) if packets else EMPTY_BATCH

    def _hears_the_bus(self, transfers: Sequence[bytes]) -> bool:
        """Return whether a data frame or remote frame follows the last report of bus-off, whatever the filters."""
        heard = False
        for transfer in transfers:
            if len(transfer) < _PAYLOAD + _CLASSIC_BYTES:
                continue
            echo_id, can_id, _, channel, _ = _HEAD.unpack_from(transfer)
            if echo_id != _RECEIVED or channel != self._channel:
                continue
            if not can_id & ERR_FLAG:
                heard = True
            elif can_id & ERR_BUSOFF:
                heard = False
        return heard

    def _other_frame(self, transfer: bytes, now_us: int) -> bytes:
        """Count a frame that the wire cannot carry, or with the overflow flag; frames of other channels do not count.

        Return the packet of a remote or error frame if `internal` is set, stamped with its arrival: firmware that
        does not stamp such frames must not confuse the clock.
        """
        echo_id, can_id, code, channel, bits = _HEAD.unpack_from(transfer)
        if echo_id != _RECEIVED or channel != self._channel:
            return b""
        if bits & _FLAG_OVERFLOW:
            self.overflows += 1
        if can_id & ERR_FLAG:
            detail = transfer[_PAYLOAD : _PAYLOAD + _CLASSIC_BYTES]
            self.count_error_frame(can_id, detail)
            return error_packet(now_us, can_id, detail) if self.internal else b""
        if can_id & RTR_FLAG and not bits & _FLAG_FD:  # CAN FD has no remote frames (ISO 11898-1)
            self.remote_frames += 1
            if self.internal and self._passes(can_id):
                return remote_packet(now_us, can_id & EFF_MASK, code, extended=bool(can_id & EFF_FLAG))
        elif not _head(can_id, code, bits)[0]:
            self.malformed += 1
        return b""

    def _passes(self, can_id: int) -> bool:
        """Return whether the filters pass this id."""
        return self._accepts is None or self._accepts(can_id & EFF_MASK, bool(can_id & EFF_FLAG))

    def _beginning(self, beginning: bytes) -> _Beginning:
        if len(beginning) < _HEAD.size:
            return _TOO_SHORT
        echo_id, can_id, code, channel, bits = _HEAD.unpack(beginning)
        end = _PAYLOAD + (
            _FD_BYTES if bits & _FLAG_FD and not can_id & (ERR_FLAG | RTR_FLAG) else _CLASSIC_BYTES
        )
        if echo_id != _RECEIVED or channel != self._channel:
            return _Beginning(b"", 0, _PAYLOAD + _CLASSIC_BYTES, ordinary=False, accepted=False)
        checked, length = _head(can_id, code, bits)
        ordinary = bool(checked) and not bits & _FLAG_OVERFLOW
        return _Beginning(checked, length, end, ordinary, self._passes(can_id))


def _head(can_id: int, code: int, bits: int) -> tuple[bytes, int]:
    """Return the head of a packet and the length of its payload; no head if the frame has no form on the wire."""
    if can_id & (ERR_FLAG | RTR_FLAG) or code > _HIGHEST_CODE:
        return b"", 0
    fd = bool(bits & _FLAG_FD)
    length = DLC_LENGTHS[code] if fd else min(code, _CLASSIC_BYTES)
    flags = (_FD_FLAGS[bits] if fd else 0) | (EXTENDED if can_id & EFF_FLAG else 0)
    return head(can_id & EFF_MASK, flags, length), length
