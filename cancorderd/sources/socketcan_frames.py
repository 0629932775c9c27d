"""What the kernel's CAN sockets deliver, as packets. Pure: `socketcan` owns the socket.

What recvmmsg left in memory, in; packets out. Layouts: linux/can.h, linux/can/error.h, socket(7).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from cancorderd.frame import BRS, ESI, EXTENDED, FD, NOTHING, Batch
from cancorderd.sources.error_frames import ErrorFrames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import Filter

CAN_FRAME = Struct("@IBB2x64s")
"""struct canfd_frame; struct can_frame is the same with 8 bytes of payload."""
CONTROL = Struct("@NiillNiiI0N")
"""cmsghdr and timespec of SO_TIMESTAMPNS, then cmsghdr and counter of SO_RXQ_OVFL, in the kernel's order."""
_CLASSIC_BYTES = 16
_FD_BYTES = 72

_EFF_FLAG = 0x8000_0000
_RTR_FLAG = 0x4000_0000
_ERR_FLAG = 0x2000_0000
_SFF_MASK = 0x7FF
_EFF_MASK = 0x1FFF_FFFF
_CANFD_BRS = 0x01
_CANFD_ESI = 0x02

_HEADER = Struct(">QIBB")
_FD_FLAGS = [
    FD | (BRS if bits & _CANFD_BRS else 0) | (ESI if bits & _CANFD_ESI else 0) for bits in range(256)
]


class Decoder(ErrorFrames):
    """What recvmmsg delivered, as packets; keeps count of what has no form on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.remote_frames = 0
        self.lost_kernel = 0
        self._drops_seen = 0

    def decode(self, lengths: Sequence[int], frames: memoryview, controls: memoryview) -> Batch:
        """The packets of `len(lengths)` messages: their lengths, slots of 72 bytes, slots of control messages."""
        packets = []
        pack = _HEADER.pack
        slots = zip(lengths, CAN_FRAME.iter_unpack(frames), CONTROL.iter_unpack(controls), strict=True)
        for size, (can_id, length, fd_flags, payload), control in slots:
            if can_id & (_ERR_FLAG | _RTR_FLAG):
                if can_id & _ERR_FLAG:
                    self.error_frame(can_id, payload)
                else:
                    self.remote_frames += 1
                continue
            stamp_us = control[3] * 1_000_000 + control[4] // 1000
            flags = _FD_FLAGS[fd_flags] if size == _FD_BYTES else 0
            if can_id & _EFF_FLAG:
                packets.append(
                    pack(stamp_us, can_id & _EFF_MASK, flags | EXTENDED, length) + payload[:length]
                )
            else:
                packets.append(pack(stamp_us, can_id & _SFF_MASK, flags, length) + payload[:length])
        if lengths and control[8] != self._drops_seen:
            # The counter is 32 bits wide and runs from the socket's start.
            self.lost_kernel += (control[8] - self._drops_seen) & 0xFFFF_FFFF
            self._drops_seen = control[8]
        return Batch(b"".join(packets), len(packets)) if packets else NOTHING


def kernel_filters(filters: Sequence[Filter]) -> bytes:
    """`filters` as an array of struct can_filter."""
    rules = []
    for one in filters:
        kind_mask = 0 if one.extended is None else _EFF_FLAG
        kind = _EFF_FLAG if one.extended else 0
        rules.append(Struct("=II").pack(one.id | kind, one.mask | kind_mask))
    return b"".join(rules)
