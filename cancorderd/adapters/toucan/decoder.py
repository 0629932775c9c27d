"""Messages of CAN API V3 (can_message_t), as packets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.adapters.error_frames import (
    BUS_OFF,
    CRTL_ACTIVE,
    CRTL_RX_OVERFLOW,
    CRTL_WARNING,
    ERR_BUSOFF,
    ERR_CRTL,
)
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.wire_flags import wire_flags_by_byte
from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
from cancorderd.protocol.frame import DLC_LENGTHS, EXTENDED, FD
from cancorderd.protocol.internal_packets import BUS_ERROR, error_packet, remote_packet
from cancorderd.protocol.packet_heads import HeadCache
from cancorderd.protocol.packets import TIMESTAMP, head

if TYPE_CHECKING:
    from collections.abc import Callable


_STAMP_MODULUS_US = 1 << 32
_MOST_WAITED_US = 60_000_000
"""Messages of a read whose stamps lie further apart than this are out of order."""
_BUS_BITS = can_api.BUS_OFF | can_api.WARNING | can_api.BUS_ERROR
_WIRE_FLAGS = wire_flags_by_byte(extended=can_api.XTD, fd=can_api.FDF, brs=can_api.BRS, esi=can_api.ESI)
_MAX_CODE = 15
_CLASSIC_BYTES = 8


class ToucanDecoder:
    """Messages in, packets out; counts messages that have no form on the wire."""

    def __init__(self, accepts: Callable[[int, bool], bool] | None = None) -> None:
        self.internal = False
        """Whether `decode` also returns remote and error frames, in `Batch.complete`."""
        self.error_frames = 0
        """Status messages and malformed messages."""
        self.remote_frames = 0
        self.status: int | None = None
        """The bus's status bits in the last status message, until the source resets them."""
        self.ends_with_frame = False
        """Whether the last message of the last read was a frame from the bus, whatever the filters."""
        self._accepts = accepts
        self._heads = HeadCache(self._head)
        self._stamped = False
        """False while all stamps were 0, as in a library without stamps."""
        self.clock = DeviceClock(_STAMP_MODULUS_US)

    def decode(self, messages: memoryview, now_us: int) -> Batch:
        """Return the packets of the data frames in `messages`, the last of which arrived at `now_us`."""
        if not messages:
            return EMPTY_BATCH
        packets: list[bytes] = []
        internal: list[int] = []
        pack, epoch_us, heads = TIMESTAMP.pack, self.clock.epoch_us, self._heads
        last_at = len(messages) - can_api.MESSAGE.size
        _, bits, code, _, seconds, nanoseconds = can_api.MESSAGE.unpack_from(messages, last_at)
        self.ends_with_frame = not bits & can_api.STS and code <= _MAX_CODE
        last_us = seconds * 1_000_000 + nanoseconds // 1000
        most_waited_us = (
            0 if self.clock.fault else _MOST_WAITED_US
        )  # stamps of a clock that is none measure nothing
        for can_id, bits, code, data, seconds, nanoseconds in can_api.MESSAGE.iter_unpack(messages):
            checked, length, accepted = heads[can_id, bits, code]
            if not checked:
                self._count_other_message(bits, code, data)
                if self.internal and (packet := self._internal_packet(can_id, bits, code, data, now_us)):
                    internal.append(len(packets))
                    packets.append(packet)
                continue
            stamp_us = seconds * 1_000_000 + nanoseconds // 1000
            if stamp_us or self._stamped:
                # A message stamped this long before the last message may have arrived as long before it.
                waited_us = (last_us - stamp_us) % _STAMP_MODULUS_US
                arrived_us = now_us - waited_us if waited_us < most_waited_us else now_us
                epoch = epoch_us(stamp_us % _STAMP_MODULUS_US, arrived_us)
                self._stamped = True
            else:
                epoch = now_us
            if accepted:
                packets.append(pack(epoch) + checked + data[:length])
        if internal:
            return batch_of(packets, internal)
        return Batch(b"".join(packets), len(packets)) if packets else EMPTY_BATCH

    def _head(self, beginning: tuple[int, int, int]) -> tuple[bytes, int, bool]:
        """Return the head of a packet, the length of its payload, and whether the filters pass the frame.

        No head if the message has no form on the wire.
        """
        can_id, bits, code = beginning
        if bits & (can_api.STS | can_api.RTR) or code > _MAX_CODE:
            return b"", 0, False
        flags = _WIRE_FLAGS[bits]
        length = DLC_LENGTHS[code] if flags & FD else min(code, _CLASSIC_BYTES)
        accepted = self._accepts is None or self._accepts(can_id, bool(flags & EXTENDED))
        return head(can_id, flags, length), length, accepted

    def _internal_packet(self, can_id: int, bits: int, code: int, data: bytes, now_us: int) -> bytes:
        """Return the packet of a remote frame that the filters pass, or of a status message; empty for anything else."""
        if bits & can_api.STS:
            return error_packet(now_us, *_error_class(data[0])) if code else b""
        extended = bool(bits & can_api.XTD)
        if not bits & can_api.RTR or bits & can_api.FDF or code > _MAX_CODE:
            return b""
        if self._accepts is not None and not self._accepts(can_id, extended):
            return b""
        return remote_packet(now_us, can_id, code, extended=extended)

    def _count_other_message(self, bits: int, code: int, data: bytes) -> None:
        if bits & can_api.RTR and not bits & (can_api.STS | can_api.FDF):  # CAN FD has no remote frames
            self.remote_frames += 1
            return
        self.error_frames += 1
        if bits & can_api.STS and code:
            self.status = data[0] & _BUS_BITS


def _error_class(status: int) -> tuple[int, bytes]:
    """Return status bits as class and detail of an error frame (linux/can/error.h)."""
    error_class = ERR_BUSOFF if status & can_api.BUS_OFF else 0
    if status & can_api.BUS_ERROR:
        error_class |= BUS_ERROR
    detail = CRTL_WARNING if status & can_api.WARNING else 0
    if status & (can_api.MESSAGE_LOST | can_api.QUEUE_OVERRUN):
        detail |= CRTL_RX_OVERFLOW
    if not detail and not error_class:
        detail = CRTL_ACTIVE
    return error_class | (ERR_CRTL if detail else 0), bytes((0, detail))


def controller_state(status: int) -> str:
    """Return the controller state in status bits; the library reports error-passive as error-warning."""
    if status & can_api.BUS_OFF:
        return BUS_OFF
    return "error-warning" if status & can_api.WARNING else "error-active"
