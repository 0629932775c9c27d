"""gs_usb on the wire: requests, feature bits, and the frames of the bulk endpoint as packets. Pure.

Little endian throughout. Each USB transfer carries one struct gs_host_frame (the kernel's
drivers/net/can/usb/gs_usb.c): echo id, CAN id with SocketCAN's flag bits, DLC code, channel, flags, then
8 bytes of payload or 64 with CAN FD, then the adapter's time stamp where it was asked for.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from cancorderd.frame import BRS, DLC_LENGTHS, ESI, EXTENDED, FD, NOTHING, Batch
from cancorderd.sources.error_frames import ErrorFrames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
"""What HOST_FORMAT sends: "little endian", in every firmware that is left."""
STAMP_MODULUS_US = 1 << 32

_HEAD = Struct("<IIBBB")
_PAYLOAD = 12
_STAMP = Struct("<I")
_CLASSIC_BYTES = 8
_FD_BYTES = 64

_RECEIVED = 0xFFFF_FFFF
"""Echo id of a frame from the bus; any other confirms one that was sent."""
_EFF_FLAG = 0x8000_0000
_RTR_FLAG = 0x4000_0000
_ERR_FLAG = 0x2000_0000
_SFF_MASK = 0x7FF
_EFF_MASK = 0x1FFF_FFFF

_FLAG_OVERFLOW = 0x01
_FLAG_FD = 0x02
_FLAG_BRS = 0x04
_FLAG_ESI = 0x08

_FD_FLAGS = [FD | (BRS if bits & _FLAG_BRS else 0) | (ESI if bits & _FLAG_ESI else 0) for bits in range(256)]
_CLASSIC_LENGTHS = [min(code, _CLASSIC_BYTES) for code in range(256)]
_FD_LENGTHS = [DLC_LENGTHS[code & 0xF] for code in range(256)]
_HEADER = Struct(">QIBB")


def transfer_bytes(*, fd: bool, stamped: bool) -> int:
    """The longest host frame that a channel in this mode sends."""
    return _PAYLOAD + (_FD_BYTES if fd else _CLASSIC_BYTES) + (_STAMP.size if stamped else 0)


class Decoder(ErrorFrames):
    """What the bulk endpoint delivered, as packets; keeps count of what has no form on the wire."""

    def __init__(
        self,
        channel: int = 0,
        epoch_us: Callable[[int, int], int] | None = None,
        accepts: Callable[[int, bool], bool] | None = None,
    ) -> None:
        """`epoch_us` maps a stamp and the time of arrival to the epoch; None: frames carry no stamps."""
        super().__init__("error-active")  # adapters tell changes only, and start like this
        self.malformed = 0
        self.remote_frames = 0
        self._channel = channel
        self._epoch_us = epoch_us
        self._accepts = accepts

    def decode(self, transfers: Iterable[bytes], now_us: int) -> Batch:
        """The packets of the frames in `transfers`, one in each, all of which arrived at `now_us`."""
        packets = []
        head, pack, accepts, epoch_us = _HEAD.unpack_from, _HEADER.pack, self._accepts, self._epoch_us
        tail = _STAMP.size if epoch_us else 0
        for transfer in transfers:
            size = len(transfer) - tail
            if size < _PAYLOAD + _CLASSIC_BYTES:
                self.malformed += 1
                continue
            echo_id, can_id, code, channel, bits = head(transfer)
            if echo_id != _RECEIVED or channel != self._channel:
                continue
            if bits & _FLAG_OVERFLOW:
                self.overflows += 1
            if can_id & (_ERR_FLAG | _RTR_FLAG):
                self._no_data(can_id, transfer)
                continue
            if bits & _FLAG_FD:
                flags, length, end = _FD_FLAGS[bits], _FD_LENGTHS[code], _PAYLOAD + _FD_BYTES
                if size < end:
                    self.malformed += 1
                    continue
            else:
                flags, length, end = 0, _CLASSIC_LENGTHS[code], _PAYLOAD + _CLASSIC_BYTES
            if can_id & _EFF_FLAG:
                can_id &= _EFF_MASK
                flags |= EXTENDED
            else:
                can_id &= _SFF_MASK
            stamp_us = epoch_us(_STAMP.unpack_from(transfer, end)[0], now_us) if epoch_us else now_us
            if accepts is None or accepts(can_id, bool(flags & EXTENDED)):
                packets.append(pack(stamp_us, can_id, flags, length) + transfer[_PAYLOAD : _PAYLOAD + length])
        return Batch(b"".join(packets), len(packets)) if packets else NOTHING

    def _no_data(self, can_id: int, transfer: bytes) -> None:
        if can_id & _ERR_FLAG:
            self.error_frame(can_id, transfer[_PAYLOAD : _PAYLOAD + _CLASSIC_BYTES])
        else:
            self.remote_frames += 1
