"""Frames from the kernel's CAN sockets, as packets. Pure: `source` owns the socket.

The input is the memory that recvmmsg has filled. Layouts: linux/can.h, linux/can/error.h, socket(7).
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING

from cancorderd.adapters.can_frame import CANFD_MTU, EFF_FLAG, EFF_MASK, ERR_FLAG, RTR_FLAG
from cancorderd.adapters.error_frames import BUS_OFF, ERR_BUSOFF, ErrorFrameCounter
from cancorderd.adapters.wire_flags import wire_flags_by_byte
from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
from cancorderd.protocol.frame import EXTENDED
from cancorderd.protocol.internal_packets import error_packet, remote_packet
from cancorderd.protocol.packet_heads import HeadCache
from cancorderd.protocol.packets import TIMESTAMP, head

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cancorderd.config.bus_settings import Filter

CAN_FRAME = Struct("@IBB2x64s")
"""struct canfd_frame; struct can_frame is the same with 8 bytes of payload."""
_BEGINNING = Struct("@IBB")
"""Id with flag bits, length, flags of CAN FD."""
_SLOT = Struct(f"@{_BEGINNING.size}s2x64s")
"""A `CAN_FRAME` as its beginning and its payload."""
CONTROL = Struct("@NiillNiiI0N")
"""cmsghdr and timespec of SO_TIMESTAMPNS, then cmsghdr and counter of SO_RXQ_OVFL, in the kernel's order."""
_MSG_DONTROUTE = 0x04
"""A frame that was sent on this machine (Documentation/networking/can.rst, "RAW protocol sockets")."""
_CANFD_BRS = 0x01
_CANFD_ESI = 0x02
_FD_FLAGS = wire_flags_by_byte(brs=_CANFD_BRS, esi=_CANFD_ESI)


class CanFrameDecoder(ErrorFrameCounter):
    """Messages in, packets out; counts frames that have no form on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.internal = False
        """Whether `decode` also returns remote and error frames, in `Batch.complete`."""
        self.remote_frames = 0
        self.lost_kernel = 0
        self._drops_seen = 0
        self._classic_heads = HeadCache(_classic_head)
        self._fd_heads = HeadCache(_fd_head)
        self._bus_off_at_us = 0

    def report_link(self, state: str | None, now_us: int) -> None:
        """Take the state that the driver reports, newer than the last error frame; `now_us` is the kernel's clock."""
        if state:
            if state == BUS_OFF and self.controller != BUS_OFF:
                self._bus_off_at_us = now_us
            self.report(state)

    def decode(self, lengths: Sequence[int], frames: memoryview, controls: memoryview) -> Batch:
        """Return the packets of `len(lengths)` messages: slots of 72 bytes, and slots of their control messages."""
        packets: list[bytes] = []
        internal: list[int] = []
        pack, classic_heads, fd_heads = TIMESTAMP.pack, self._classic_heads, self._fd_heads
        slots = zip(lengths, _SLOT.iter_unpack(frames), CONTROL.iter_unpack(controls), strict=True)
        for size, (beginning, payload), control in slots:
            checked, length = (fd_heads if size == CANFD_MTU else classic_heads)[beginning]
            if not checked:
                if packet := self._other_frame(size, beginning, payload, _stamp_us(control)):
                    internal.append(len(packets))
                    packets.append(packet)
                continue
            try:
                stamp = pack(control[3] * 1_000_000 + control[4] // 1000)
            except struct.error:  # a clock before 1970
                self.error_frames += 1
                continue
            packets.append(stamp + checked + payload[:length])
        if lengths and control[8] != self._drops_seen:
            # The counter is 32 bits wide and runs from the socket's start.
            self.lost_kernel += (control[8] - self._drops_seen) & 0xFFFF_FFFF
            self._drops_seen = control[8]
        if internal:
            return batch_of(packets, internal)
        return Batch(b"".join(packets), len(packets)) if packets else EMPTY_BATCH

    def _other_frame(self, size: int, beginning: bytes, payload: bytes, stamp_us: int) -> bytes:
        """Count a frame that the wire cannot carry: an error frame, a remote frame, or a frame that cannot exist.

        Return its packet if `internal` is set and it has one.
        """
        can_id, length, _ = _BEGINNING.unpack(beginning)
        if can_id & ERR_FLAG:
            self.count_error_frame(can_id, payload)
            return error_packet(stamp_us, can_id, payload) if self.internal else b""
        if can_id & RTR_FLAG and size != CANFD_MTU:  # CAN FD has no remote frames (ISO 11898-1)
            self.remote_frames += 1
            if self.internal:
                return remote_packet(stamp_us, can_id & EFF_MASK, length, extended=bool(can_id & EFF_FLAG))
        else:
            self.error_frames += 1
        return b""

    def reconsider_bus_off(self, frames: memoryview, controls: memoryview, origins: Iterable[int]) -> None:
        """End the bus-off that was reported if a frame from the bus follows it.

        The messages are those of `decode`; `origins` are the flags of each (recvmsg(2)). A frame that was sent on this
        machine proves nothing: some drivers pass it on before it is on the bus.
        """
        heard = False
        slots = zip(CAN_FRAME.iter_unpack(frames), CONTROL.iter_unpack(controls), origins, strict=True)
        for (can_id, *_), control, origin in slots:
            if can_id & ERR_FLAG:
                if can_id & ERR_BUSOFF:
                    heard, self._bus_off_at_us = False, 0
            # A report of the driver overtakes the frames that wait in the socket.
            elif not origin & _MSG_DONTROUTE and _stamp_us(control) > self._bus_off_at_us:
                heard = True
        if heard:
            self.refute_bus_off()


def _stamp_us(control: Sequence[int]) -> int:
    return control[3] * 1_000_000 + control[4] // 1000


def _classic_head(beginning: bytes) -> tuple[bytes, int]:
    can_id, length, _ = _BEGINNING.unpack(beginning)
    return _head(can_id, 0, length)


def _fd_head(beginning: bytes) -> tuple[bytes, int]:
    can_id, length, fd_flags = _BEGINNING.unpack(beginning)
    return _head(can_id, _FD_FLAGS[fd_flags], length)


def _head(can_id: int, flags: int, length: int) -> tuple[bytes, int]:
    """Return the head of a packet and the length of the payload; no head if the frame has no form on the wire."""
    if can_id & (ERR_FLAG | RTR_FLAG):
        return b"", 0
    if can_id & EFF_FLAG:
        flags |= EXTENDED
    return head(can_id & EFF_MASK, flags, length), length


def kernel_filters(filters: Sequence[Filter]) -> bytes:
    """Return `filters` as an array of struct can_filter."""
    rules = []
    for rule in filters:
        kind_mask = 0 if rule.extended is None else EFF_FLAG
        kind = EFF_FLAG if rule.extended else 0
        rules.append(Struct("=II").pack(rule.id | kind, rule.mask | kind_mask))
    return b"".join(rules)
