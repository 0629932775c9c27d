"""toucan: Rusoku's TouCAN adapters, through MacCAN's library libUVCANTOU (CAN API V3).

`can_api` calls the library, `decoder` turns its messages into packets. `ToucanSource` owns a channel, and the thread
that waits in the library and asks it for its status.

The library's traps (MacCAN-TouCAN 0.2.6): can_read cannot tell an unplugged adapter from a silent bus, only can_status
can. The library learns of bus-off from status messages, which come only in mode ERR. Its overrun flag stays set. Its
stamps count microseconds in 32 bits; the library extends them with the host's clock, wrongly around each wrap, so only
the 32 bits are used.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING

from cancorderd.adapters import bit_timing
from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.bit_timing import Limits, Timing
from cancorderd.adapters.error_frames import BUS_OFF, BusOffPatience, ReportedController
from cancorderd.adapters.failures import (
    FORBIDDEN,
    AdapterAbsent,
    BusError,
    BusFailure,
    SettingsRefused,
    absent_reason,
    bus_off_reason,
    occupied_reason,
)
from cancorderd.adapters.filters import acceptance
from cancorderd.adapters.read_thread import ReadThread, returned_within
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder, controller_state
from cancorderd.host_clock import clocks_us
from cancorderd.protocol.batch import EMPTY_BATCH, Batch

if TYPE_CHECKING:
    from cancorderd.adapters.toucan.can_api import Library
    from cancorderd.adapters.toucan.settings import ToucanSettings

CLOCK_HZ = 50_000_000
_800K = 800_000
_CLASSIC_LIMITS = Limits(brp=1024, tseg1=16, tseg2=8, sjw=4)
"""The adapter's controller, an STM32's bxCAN."""
_FD_LIMITS = Limits(brp=1024, tseg1=256, tseg2=128, sjw=128)
_DATA_LIMITS = Limits(brp=1024, tseg1=32, tseg2=16, sjw=16)
"""CAN API V3's own (CANBTR_NOMINAL_..., CANBTR_DATA_...)."""
_SOFT_MODES = can_api.ERR
"""Modes to request, but to do without if the library lacks them."""
_GONE = frozenset({can_api.E_RESOURCE, can_api.E_HANDLE, can_api.E_NOT_INITIALISED})
_UNKNOWN_MODE = frozenset({can_api.E_PARAMETER, can_api.E_NOT_SUPPORTED})

_SLOTS = 256
"""Messages that are gathered before they are decoded: 10 ms of the busiest CAN FD bus."""
_WAIT_MS = 200
"""How long a can_read may wait; `close` may take as long if can_kill comes too early."""
_CLOSE_S = 1.0
_PAUSE_S = 0.005
"""Pause before the next read if the library answered "empty" or an error at once instead of waiting."""
_STATUS_EVERY_S = 1.0
_STATUS_TRIES = 3
"""A library that is too busy to report its status is asked again: the adapter is not unplugged."""
_BUS_OFF_PATIENCE_S = 0.5
"""Neither library nor firmware restarts the controller; only a frame could show that the report is wrong."""
_LOOK_EVERY_S = 1.0
_WAKE_AFTER_S = 2.0
_STUCK_AFTER_S = 6.0
"""can_read waits until a time of the host's clock: if that clock is set back, it waits that much longer."""


class ToucanSource(BaseSource):
    """A channel of the library, and the thread that reads it."""

    def __init__(self, settings: ToucanSettings) -> None:
        super().__init__()
        self._place = _place(settings)
        _refuse_800k(settings)
        self._library = can_api.Library(settings.library or can_api.default_library())
        self._decoder = ToucanDecoder(acceptance(settings.filters) if settings.filters else None)
        self._slots = (ctypes.c_char * (_SLOTS * can_api.MESSAGE.size))()
        self._messages = memoryview(self._slots).cast("B")
        first = ctypes.addressof(self._slots)
        self._addresses = range(first, first + len(self._messages), can_api.MESSAGE.size)
        self._seen_overruns = self._seen_bits = self._status_failures = 0
        self._next_status_s = 0.0
        self._reported = ReportedController("error-active")
        self._bus_off = BusOffPatience(_BUS_OFF_PATIENCE_S)
        self._handle = _initialise(self._library, settings)
        self._closed = False
        self._count = 0
        """Messages in the slots that the thread has not decoded yet."""
        self._stuck: BusError | None = None
        self._thread = ReadThread(self._gather, _LOOK_EVERY_S)
        try:
            self.details = _start(self._library, self._handle, settings)
            self.controller = self._reported.controller
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._thread.fileno()

    def due(self, now_s: float) -> float | None:
        return 0.0 if self._stuck else self._thread.due(now_s)

    def read(self, now_s: float) -> Batch:
        if self._stuck:
            raise self._stuck
        batch = self._thread.collect()
        stuck_s = self._thread.stuck_s(now_s)
        if not (batch.frames or batch.internal):
            self._judge_thread(stuck_s)
            if self._stuck and self._count:
                return self._decode(self._count)  # the thread does not come back to do this
            if self._stuck:
                raise self._stuck
        return batch

    def stop(self) -> None:
        self._thread.halt(lambda: self._library.kill(self._handle), _CLOSE_S)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # If the thread does not return from the library, it keeps the channel until the process ends.
        if self._thread.stop(lambda: self._library.kill(self._handle), _CLOSE_S):
            returned_within(_CLOSE_S, lambda: self._library.release(self._handle))

    def _judge_thread(self, stuck_s: float) -> None:
        if stuck_s > _STUCK_AFTER_S:
            text = f"{self._place}: the library has not returned from a call for {stuck_s:.0f} s."
            self._stuck = BusError(text)
        elif stuck_s > _WAKE_AFTER_S:
            self._library.kill(self._handle)

    # The methods from here on run in the thread.

    def _gather(self) -> Batch:
        """Wait for a message, then read all there are. Raises BusError if the adapter is gone or the bus is off."""
        began_s = time.monotonic()
        if began_s >= self._next_status_s:
            self._next_status_s = began_s + _STATUS_EVERY_S
            self._ask_status()
        count = 0
        read = self._library.read
        code = read(self._handle, self._addresses[0], _WAIT_MS)
        while code >= 0:
            self._count = count = count + 1
            if count == _SLOTS:
                break
            code = read(self._handle, self._addresses[count], 0)
        if self._stuck:
            return EMPTY_BATCH  # too late: the loop has taken these messages
        batch = self._decode(count) if count else EMPTY_BATCH
        self._count = 0
        if code < 0:
            self._handle_code(code, fatal=not count)
        self.controller = self._reported.controller
        if self._bus_off.expired(self.controller, time.monotonic()) and not count:
            raise BusError(bus_off_reason(self._place))
        if not count and time.monotonic() - began_s < _WAIT_MS / 2000:
            time.sleep(_PAUSE_S)
        return batch

    def _handle_code(self, code: int, *, fatal: bool) -> None:
        """Count the loss or error that `code` stands for.

        A code that ends the bus raises only if it is `fatal`: the library repeats it after the last messages.
        """
        if code in (can_api.E_RX_EMPTY, can_api.E_TIMEOUT):
            return
        if code == can_api.E_MESSAGE_LOST:
            self.lost_adapter += 1
        elif code == can_api.E_QUEUE_OVERRUN:
            self._count_overruns(flagged=True)
        elif code in can_api.BUS_ERRORS:
            self._decoder.error_frames += 1
            self.error_frames = self._decoder.error_frames
        elif code == can_api.E_BUS_OFF:
            self._reported.report(BUS_OFF)
        elif fatal:
            raise _channel_failure(self._place, code, BusError)

    def _ask_status(self) -> None:
        code, bits = self._library.status(self._handle)
        if code < 0:
            self._status_failures += 1
            if not can_api.is_passing(code) or self._status_failures >= _STATUS_TRIES:
                raise _channel_failure(self._place, code, BusError)
            return
        self._status_failures = 0
        self._reported.report(controller_state(bits))
        if bits & can_api.STOPPED and self._reported.controller != BUS_OFF:
            raise BusError(f"{self._place} was stopped. End any other program that uses it.")
        new_bits = bits & ~self._seen_bits
        self._seen_bits = bits
        self.lost_adapter += bool(new_bits & can_api.MESSAGE_LOST)
        self._count_overruns(flagged=bool(new_bits & can_api.QUEUE_OVERRUN))

    def _count_overruns(self, *, flagged: bool) -> None:
        """Count messages for which the library's queue had no room: its own count, or 1 if it only has a flag."""
        overruns = self._library.number(self._handle, can_api.P_QUEUE_OVERRUNS, 8)
        if overruns is None:
            self.lost_adapter += flagged
        else:
            self.lost_adapter += overruns - self._seen_overruns
            self._seen_overruns = overruns

    def _decode(self, count: int) -> Batch:
        decoder = self._decoder
        decoder.internal = self.internal
        now_us, monotonic_us = clocks_us()
        decoder.clock.observe_host(now_us, monotonic_us)
        batch = decoder.decode(self._messages[: count * can_api.MESSAGE.size], now_us)
        if count < _SLOTS:
            batch = decoder.clock.checked(batch, now_us, monotonic_us)
            self.report_clock(self._place, decoder.clock.fault)
        self.error_frames = decoder.error_frames
        self.remote_frames = decoder.remote_frames
        if decoder.status is not None:
            if decoder.status & can_api.BUS_OFF:
                self._reported.enter_bus_off()
            else:
                self._reported.report(controller_state(decoder.status))
            decoder.status = None
        if decoder.ends_with_frame:
            self._reported.refute_bus_off()
        return batch


def operation_mode(settings: ToucanSettings) -> int:
    """Return the mode bits, always with status messages: without them the library does not notice bus-off."""
    mode = can_api.ERR
    if settings.listen_only:
        mode |= can_api.MON
    if settings.fd:
        mode |= can_api.FDOE | (can_api.BRSE if settings.data_bitrate else 0)
    return mode


def bitrate(settings: ToucanSettings, clock_hz: int) -> bytes:
    """Return the settings as a can_bitrate_t. Raises SettingsRefused if `clock_hz` cannot make the bitrates."""
    index = can_api.BITRATE_INDEXES.get(settings.bitrate)
    if index is not None and settings.sample_point is None and not settings.fd:
        return can_api.by_index(index)
    limits = _FD_LIMITS if settings.fd else _CLASSIC_LIMITS
    nominal = _timing("bitrate", settings.bitrate, settings.sample_point, clock_hz, limits)
    data = None
    if settings.fd and settings.data_bitrate:
        data = _timing("data_bitrate", settings.data_bitrate, None, clock_hz, _DATA_LIMITS)
    return can_api.by_timing(clock_hz, nominal, data)


def _refuse_800k(settings: ToucanSettings) -> None:
    """Refuse 800 kbit/s before looking for the adapter, since no TouCAN can make it."""
    if settings.bitrate == _800K:
        raise SettingsRefused(
            "TouCAN has no 800 kbit/s: its 50 MHz clock cannot be divided into it. Use 500000 or 1000000."
        )


def _initialise(library: Library, settings: ToucanSettings) -> int:
    """Return the handle of the channel, initialised but not started.

    Raises AdapterAbsent, SettingsRefused, or BusError if another program holds it.
    """
    place, mode = _place(settings), operation_mode(settings)
    code, state = library.test(settings.channel, mode)
    if state == can_api.ABSENT:
        raise AdapterAbsent(absent_reason(f"there is no {place}"))
    if state == can_api.OCCUPIED:
        raise BusError(occupied_reason(place))
    if state == can_api.NOT_TESTABLE and code in (can_api.E_HANDLE, can_api.E_NOT_INITIALISED):
        raise SettingsRefused(f"the library has no {place}. Channels count from 0; correct channel.")
    handle = library.init(settings.channel, mode)
    if handle in _UNKNOWN_MODE:
        handle = library.init(settings.channel, mode & ~_SOFT_MODES)
    if handle in _UNKNOWN_MODE and settings.fd:
        raise SettingsRefused(f"{place} has no CAN FD. Set fd = false, or use another adapter.")
    if handle in _UNKNOWN_MODE and settings.listen_only:
        raise SettingsRefused(f"{place} cannot listen only. Set listen_only = false, or use another adapter.")
    if handle < 0:
        raise _channel_failure(place, handle, AdapterAbsent)
    return handle


def _start(library: Library, handle: int, settings: ToucanSettings) -> dict[str, str]:
    """Start the channel; return the details for `status`. Raises SettingsRefused or BusError."""
    library.check_layout(handle)
    place = _place(settings)
    clock_hz = library.number(handle, can_api.P_CLOCK, 4) or CLOCK_HZ
    code = library.start(handle, bitrate(settings, clock_hz))
    if code == can_api.E_BAUDRATE:
        raise SettingsRefused(
            f"{place} refuses bitrate {settings.bitrate}. Use one of {_listed()} (bit/s), without sample_point."
        )
    if code < 0:
        raise _channel_failure(place, code, BusError)
    details = library.texts(handle)
    if (applied := library.bitrate(handle)) is not None:
        details["timing"] = Timing(*applied[1:5]).in_words(applied[0])
    return details


def _channel_failure(place: str, code: int, gone: type[BusFailure]) -> BusFailure:
    """Return the failure that a negative code stands for; `gone` is its class if the device is not there."""
    if code in _GONE:
        return gone(f"{place} is gone: {can_api.meaning(code)} ({code}). Plug the adapter in again.")
    if code == can_api.E_INITIALISED_ALREADY:
        return BusError(occupied_reason(place))
    if can_api.errno_of(code) in FORBIDDEN:
        return AdapterAbsent(
            f"{place}: no permission ({code}). Run the daemon as a user who may use USB devices."
        )
    return BusError(f"{place}: {can_api.meaning(code)} ({code}).")


def _place(settings: ToucanSettings) -> str:
    return f"TouCAN channel {settings.channel}"


def _timing(key: str, rate: int, sample_point: float | None, clock_hz: int, limits: Limits) -> Timing:
    timing = bit_timing.find(clock_hz, rate, sample_point, limits)
    if timing is None:
        point = "" if sample_point is None else f" with sample_point {sample_point:g}"
        remedy = "a divisor of the clock" if key == "data_bitrate" else f"one of {_listed()} (bit/s)"
        raise SettingsRefused(
            f"TouCAN has no {key} {rate}{point}: its {clock_hz / 1e6:g} MHz clock cannot be divided into it. "
            f"Use {remedy}{', or leave sample_point out' if point else ''}."
        )
    return timing


def _listed() -> str:
    return ", ".join(map(str, sorted(can_api.BITRATE_INDEXES)))
