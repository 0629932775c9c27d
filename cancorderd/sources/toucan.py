"""toucan: Rusoku's TouCAN adapters, through MacCAN's library libUVCANTOU (CAN API V3).

`Decoder` is pure: messages in, packets out. `ToucanSource` below it owns the channel, and the thread
that waits in the library and asks it for the status.

The library's traps (MacCAN-TouCAN 0.2.6): an unplugged adapter is mere silence to can_read, only
can_status tells. It hears of bus-off by status messages, which come if mode ERR asks for them. Its
overrun flag stays set once it is. Its stamps count microseconds in 32 bits, and it stretches them over
the wraps by the host's clock, wrongly around each wrap: only the 32 bits are used.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, NoReturn

from cancorderd.errors import BusError
from cancorderd.frame import (
    BRS,
    DLC_LENGTHS,
    ESI,
    EXTENDED,
    FD,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
    NOTHING,
    Batch,
)
from cancorderd.sources import can_api, toucan_channel
from cancorderd.sources.base import Counted
from cancorderd.sources.device_clock import DeviceClock
from cancorderd.sources.filters import acceptance
from cancorderd.sources.read_thread import ReadThread
from cancorderd.wire import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.model import ToucanBus

_STAMP_MODULUS_US = 1 << 32
_MOST_WAITED_US = 60_000_000
"""Messages of one read that lie further apart are out of order."""
_BUS_BITS = can_api.BUS_OFF | can_api.WARNING | can_api.BUS_ERROR
_WIRE_FLAGS = [
    (EXTENDED if bits & can_api.XTD else 0)
    | (FD if bits & can_api.FDF else 0)
    | (BRS if bits & can_api.FDF and bits & can_api.BRS else 0)
    | (ESI if bits & can_api.FDF and bits & can_api.ESI else 0)
    for bits in range(256)
]
_CLASSIC_LENGTHS = [min(code, 8) for code in range(16)]


class Decoder:
    """can_message_t after can_message_t, as packets; counts what has no form on the wire."""

    def __init__(self, accepts: Callable[[int, bool], bool] | None = None) -> None:
        self.error_frames = 0
        """Status messages, and messages that cannot be."""
        self.remote_frames = 0
        self.status: int | None = None
        """The bus's status bits, as the last status message had them; whoever looks takes them out."""
        self._accepts = accepts
        self._stamped = False
        """False while all stamps were 0, as a library without them leaves them."""
        self._clock = DeviceClock(_STAMP_MODULUS_US)

    def decode(self, messages: memoryview, now_us: int) -> Batch:
        """The packets of the data frames among `messages`, the last of which arrived at `now_us`."""
        if not messages:
            return NOTHING
        packets = []
        pack, epoch_us, accepts = HEADER.pack, self._clock.epoch_us, self._accepts
        *_, seconds, nanoseconds = can_api.MESSAGE.unpack_from(messages, len(messages) - can_api.MESSAGE.size)
        last_us = seconds * 1_000_000 + nanoseconds // 1000
        for can_id, bits, code, data, seconds, nanoseconds in can_api.MESSAGE.iter_unpack(messages):
            flags = _WIRE_FLAGS[bits]
            highest = MAX_EXTENDED_ID if flags & EXTENDED else MAX_STANDARD_ID
            if bits & (can_api.STS | can_api.RTR) or can_id > highest or code > 15:
                self._no_packet(bits, code, data)
                continue
            stamp_us = seconds * 1_000_000 + nanoseconds // 1000
            if stamp_us or self._stamped:
                # What was sent so long before the last message might have arrived so long before it.
                waited_us = (last_us - stamp_us) % _STAMP_MODULUS_US
                arrived_us = now_us - waited_us if waited_us < _MOST_WAITED_US else now_us
                epoch = epoch_us(stamp_us % _STAMP_MODULUS_US, arrived_us)
                self._stamped = True
            else:
                epoch = now_us
            if accepts is None or accepts(can_id, bool(flags & EXTENDED)):
                length = DLC_LENGTHS[code] if flags & FD else _CLASSIC_LENGTHS[code]
                packets.append(pack(epoch, can_id, flags, length) + data[:length])
        return Batch(b"".join(packets), len(packets)) if packets else NOTHING

    def _no_packet(self, bits: int, code: int, data: bytes) -> None:
        if bits & can_api.RTR and not bits & can_api.STS:
            self.remote_frames += 1
            return
        self.error_frames += 1
        if bits & can_api.STS and code:
            self.status = data[0] & _BUS_BITS


def controller_state(status: int) -> str:
    """Controller state of status bits; the library does not tell error-passive from error-warning."""
    if status & can_api.BUS_OFF:
        return "bus-off"
    return "error-warning" if status & can_api.WARNING else "error-active"


_SLOTS = 256
"""Messages that are gathered before they are decoded: 10 ms of the busiest CAN FD bus."""
_WAIT_MS = 200
"""How long one can_read may wait: as long as `close` may take where can_kill comes too early."""
_CLOSE_S = 1.0
_PAUSE_S = 0.005
"""Before a library is read again that answered "empty" or an error at once, where it ought to wait."""
_STATUS_EVERY_S = 1.0
_STATUS_TRIES = 3
"""A library that is too busy to tell the status is asked again: that is not unplugged."""
_LOOK_EVERY_S = 1.0
_WAKE_AFTER_S = 2.0
_STUCK_AFTER_S = 6.0
"""can_read waits until a time of the host's clock; were that set back, it would wait for as long again."""


def open_source(section: ToucanBus) -> ToucanSource:
    return ToucanSource(section)


class ToucanSource(Counted):
    """One channel of the library, and the thread that reads it."""

    def __init__(self, section: ToucanBus) -> None:
        super().__init__()
        self._place = f"TouCAN channel {section.channel}"
        toucan_channel.refuse_800k(section)
        self._library = can_api.Library(section.library or can_api.default_library())
        self._decoder = Decoder(acceptance(section.filters) if section.filters else None)
        self._slots = (ctypes.c_char * (_SLOTS * can_api.MESSAGE.size))()
        self._messages = memoryview(self._slots).cast("B")
        first = ctypes.addressof(self._slots)
        self._addresses = range(first, first + len(self._messages), can_api.MESSAGE.size)
        self._seen_overruns = self._seen_bits = self._status_failures = 0
        self._next_status_s = self._next_look_s = 0.0
        self._handle = toucan_channel.initialise(self._library, section)
        self._closed = False
        self._thread = ReadThread(self._gather)
        try:
            self.details = toucan_channel.start(self._library, self._handle, section)
            self.controller = "error-active"
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._thread.fileno()

    def due(self, now_s: float) -> float | None:
        return max(0.0, self._next_look_s - now_s)

    def read(self, now_s: float) -> Batch:
        batch = self._thread.take()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_EVERY_S
            self._look_after_thread(now_s)
        return batch

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # A thread that does not come out of the library keeps the channel until the process ends.
        if self._thread.stop(lambda: self._library.kill(self._handle), _CLOSE_S):
            self._library.release(self._handle)

    def _look_after_thread(self, now_s: float) -> None:
        silent_s = self._thread.silent_s(now_s)
        if silent_s > _STUCK_AFTER_S:
            raise BusError(f"{self._place}: the library has not come back from a call for {silent_s:.0f} s.")
        if silent_s > _WAKE_AFTER_S:
            self._library.kill(self._handle)

    # From here on, what the thread does.

    def _gather(self) -> Batch:
        """Wait for a message, and take all that is there. Raises BusError when the adapter or the bus is off."""
        began_s = time.monotonic()
        if began_s >= self._next_status_s:
            self._next_status_s = began_s + _STATUS_EVERY_S
            self._ask_status()
        count = 0
        read = self._library.read
        code = read(self._handle, self._addresses[0], _WAIT_MS)
        while code >= 0:
            count += 1
            if count == _SLOTS:
                break
            code = read(self._handle, self._addresses[count], 0)
        batch = self._decode(count) if count else NOTHING
        if code < 0:
            self._heed(code, fatal=not count)
            if not count and time.monotonic() - began_s < _WAIT_MS / 2000:
                time.sleep(_PAUSE_S)
        return batch

    def _heed(self, code: int, *, fatal: bool) -> None:
        """Count what `code` tells. Where it ends the bus, raise if `fatal`; else it will be told again."""
        if code in (can_api.E_RX_EMPTY, can_api.E_TIMEOUT):
            return
        if code == can_api.E_MESSAGE_LOST:
            self.lost_adapter += 1
        elif code == can_api.E_QUEUE_OVERRUN:
            self._count_overruns(told=True)
        elif code in can_api.BUS_ERRORS:
            self._decoder.error_frames += 1
            self.error_frames = self._decoder.error_frames
        elif fatal and code == can_api.E_BUS_OFF:
            self._bus_off()
        elif fatal:
            raise toucan_channel.failure(self._place, code, BusError)

    def _ask_status(self) -> None:
        code, bits = self._library.status(self._handle)
        if code < 0:
            self._status_failures += 1
            if not can_api.is_passing(code) or self._status_failures >= _STATUS_TRIES:
                raise toucan_channel.failure(self._place, code, BusError)
            return
        self._status_failures = 0
        self.controller = controller_state(bits)
        if bits & can_api.BUS_OFF:
            self._bus_off()
        if bits & can_api.STOPPED:
            raise BusError(f"{self._place} was stopped. Does another program use it?")
        news = bits & ~self._seen_bits
        self._seen_bits = bits
        self.lost_adapter += bool(news & can_api.MESSAGE_LOST)
        self._count_overruns(told=bool(news & can_api.QUEUE_OVERRUN))

    def _count_overruns(self, *, told: bool) -> None:
        """Messages that the library's queue had no room for: its own count, or 1 where it only `told` of some."""
        overruns = self._library.number(self._handle, can_api.P_QUEUE_OVERRUNS, 8)
        if overruns is None:
            self.lost_adapter += told
        else:
            self.lost_adapter += overruns - self._seen_overruns
            self._seen_overruns = overruns

    def _bus_off(self) -> NoReturn:
        self.controller = "bus-off"
        raise BusError(f"{self._place} is bus-off. Check bitrate, wiring and termination.")

    def _decode(self, count: int) -> Batch:
        decoder = self._decoder
        batch = decoder.decode(self._messages[: count * can_api.MESSAGE.size], time.time_ns() // 1000)
        self.error_frames = decoder.error_frames
        self.remote_frames = decoder.remote_frames
        if decoder.status is not None:
            self.controller = controller_state(decoder.status)
            if decoder.status & can_api.BUS_OFF:
                # Ask at the next round: what came before bus-off is still to be delivered.
                self._next_status_s = 0.0
            decoder.status = None
        return batch
