"""Any other interface, through python-can: its driver, its threads, its Message objects.

The slowest source, and the one with the most adapters. A thread (`read_thread`) waits in the driver's `recv` and packs
its messages, so that the worker's loop never waits for a driver.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import can

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.device_permission import forbidden_reason
from cancorderd.adapters.epoch_stamps import EpochStamps
from cancorderd.adapters.failures import (
    BusError,
    BusFailure,
    SettingsRefused,
    absent_reason,
    failure_of_errno,
)
from cancorderd.adapters.read_failures import ReadFailures, is_gone
from cancorderd.adapters.read_thread import ReadThread, returned_within
from cancorderd.host_clock import clocks_us
from cancorderd.printable import error_text
from cancorderd.protocol import packets as wire
from cancorderd.protocol.batch import batch_of
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD
from cancorderd.protocol.internal_packets import BUS_ERROR, error_packet, remote_packet

if TYPE_CHECKING:
    from cancorderd.adapters.python_can_settings import PythonCanSettings
    from cancorderd.config.bus_settings import Filter
    from cancorderd.protocol.batch import Batch

_RECEIVE_S = 0.2
"""How long a `recv` may wait, and with it `close`. Some drivers cannot wait without limit."""
_STUCK_AFTER_S = 10.0
"""A `recv` that returns neither a frame nor None for so long never will: the bus is opened anew in another process."""
_CLOSE_S = 1.0
_PAUSE_S = 0.005
"""Pause before the next read if a driver returned at once, instead of waiting for a frame."""
_MOST_AT_ONCE = 500
"""Messages to read before the loop gets their frames."""
_GATHER_S = 0.01
"""The same as a time, for drivers that wait for the next frame also if they are not to wait."""
_WAITED_S = 0.002
"""Duration of a `recv` from which its frame has just arrived."""


def packet(message: can.Message, timestamp_us: int) -> bytes:
    """Return the wire packet of a data frame; empty if it breaks a limit of CAN, as some drivers' and logs' do."""
    flags = EXTENDED if message.is_extended_id else 0
    if message.is_fd:
        flags |= FD | (BRS if message.bitrate_switch else 0) | (ESI if message.error_state_indicator else 0)
    return wire.packet(timestamp_us, message.arbitration_id, flags, bytes(message.data))


def internal_packet(message: can.Message, timestamp_us: int) -> bytes:
    """Return the packet of a remote or error frame; empty if CAN has no such frame.

    SocketCAN's drivers and candump's logs have the class of an error and 8 bytes that explain it. Others have numbers of
    their own, or none: all that is known then is that there was an error on the bus.
    """
    if message.is_error_frame:
        explained = message.arbitration_id and len(message.data) == 8
        return error_packet(
            timestamp_us,
            message.arbitration_id if explained else BUS_ERROR,
            bytes(message.data) if explained else b"",
        )
    return remote_packet(timestamp_us, message.arbitration_id, message.dlc, extended=message.is_extended_id)


def driver_arguments(settings: PythonCanSettings) -> dict[str, Any]:
    """Return the arguments of `can.Bus`. `options` come last and override the bus's other keys."""
    arguments: dict[str, Any] = {"interface": settings.interface, "bitrate": settings.bitrate}
    if settings.channel is not None:
        arguments["channel"] = settings.channel
    if settings.fd:
        arguments |= {"fd": True, "data_bitrate": settings.data_bitrate}
    if settings.filters:
        arguments["can_filters"] = [can_filter(rule) for rule in settings.filters]
    if settings.interface == "ecuconnect":
        # A server that is gone is a failure of this bus, which `status` has to show.
        arguments["reconnect"] = False
    return arguments | settings.options


def can_filter(rule: Filter) -> dict[str, Any]:
    """Return a filter in python-can's form; without the key "extended" it matches both kinds of id."""
    form = {"can_id": rule.id, "can_mask": rule.mask}
    return form if rule.extended is None else form | {"extended": rule.extended}


def driver_failure(interface: str, error: BaseException) -> BusFailure:
    """Return the failure that an exception of a driver stands for, with the remedy if it is known."""
    number = getattr(error, "errno", None) or getattr(error, "error_code", None)
    path = getattr(error, "filename", None)
    text = error_text(error)
    if _driver_is_missing(error, number):
        return SettingsRefused(
            f"interface {interface} is not usable here: {text}. Install its driver and the Python package that "
            "it needs (python-can's manual names them), or choose another interface."
        )
    if isinstance(error, ValueError | TypeError):
        return SettingsRefused(f"{interface}: {text}. Correct channel, bitrate or options.")
    return failure_of_errno(
        number,
        interface,
        text,
        absent=absent_reason(text),
        forbidden=lambda: (
            forbidden_reason(path)
            if isinstance(path, str) and path.isprintable()
            else f"no permission: {text}. Check udev rules and groups."
        ),
    )


def _driver_is_missing(error: BaseException, number: int | None) -> bool:
    """Return whether the driver is missing; some of python-can's interfaces raise a bare OSError or NameError then."""
    if isinstance(error, can.CanInterfaceNotImplementedError | ImportError | NameError):
        return True
    return isinstance(error, OSError) and number is None and "library" in error_text(error)


def _open_bus(settings: PythonCanSettings) -> can.BusABC:
    arguments = driver_arguments(settings)
    if settings.prefer_fd:
        with contextlib.suppress(Exception):  # drivers without CAN FD refuse the argument
            return can.Bus(**{"fd": True, **arguments})
    return can.Bus(**arguments)


class PythonCanSource(BaseSource):
    """A can.Bus and the thread that reads it."""

    def __init__(self, settings: PythonCanSettings) -> None:
        super().__init__()
        self._interface = settings.interface
        try:
            self._bus = _open_bus(settings)
        except (Exception, SystemExit) as error:
            raise driver_failure(settings.interface, error) from error
        self._stamps = EpochStamps()
        self._failures = ReadFailures()
        self._end: BusError | None = None
        """Raised by the next read."""
        self._gathered: tuple[list[bytes], list[int]] = [], []
        """Packets of the read that runs, and the places of the internal ones among them."""
        self._stuck: BusError | None = None
        self._thread = ReadThread(self._receive)
        self._thread.start()

    def fileno(self) -> int:
        return self._thread.fileno()

    def due(self, now_s: float) -> float | None:
        return 0.0 if self._stuck else self._thread.due(now_s)

    def read(self, now_s: float) -> Batch:
        if self._stuck:
            raise self._stuck
        batch = self._thread.collect()
        stuck_s = self._thread.stuck_s(now_s)
        if stuck_s > _STUCK_AFTER_S and not (batch.frames or batch.internal):
            self._stuck = BusError(
                f"{self._interface}: the driver has not returned from a read for {stuck_s:.0f} s, though it was to wait "
                f"for {_RECEIVE_S:g} s. Check the adapter, and update its driver."
            )
            return self._take_from_thread()
        return batch

    def _take_from_thread(self) -> Batch:
        """Return the frames that the stuck thread holds; it does not deliver them again, should it come back."""
        packets, internal = self._gathered
        batch = batch_of(packets[:], internal[:])
        packets.clear()
        internal.clear()
        return batch

    def stop(self) -> None:
        self._thread.halt(lambda: None, 4 * _RECEIVE_S)

    def close(self) -> None:
        self._thread.stop(lambda: None, 4 * _RECEIVE_S)
        returned_within(_CLOSE_S, self._bus.shutdown)

    def _receive(self) -> Batch:
        """Wait for a frame, then read those that the driver has already. Runs in the thread."""
        if self._end is not None:
            raise self._end
        packets: list[bytes] = []
        internal: list[int] = []
        self._gathered = packets, internal
        messages = 0
        last_is_new = True
        began_s = received_s = time.monotonic()
        end_s = math.inf
        failure: BaseException | None = None
        self._stamps.observe_host(*clocks_us())
        try:
            while messages < _MOST_AT_ONCE and received_s < end_s:
                message = self._bus.recv(0.0 if messages else _RECEIVE_S)
                called_s, received_s = received_s, time.monotonic()
                if message is None:
                    last_is_new = True
                    break
                last_is_new = received_s - called_s >= _WAITED_S
                if not messages:
                    end_s = received_s + _GATHER_S
                messages += 1
                self._append(message, packets, internal)
        except BaseException as error:  # noqa: BLE001 - drivers raise anything; the frames before it are delivered
            failure = error
            last_is_new = True
            if self.internal:
                internal.append(len(packets))
                packets.append(error_packet(time.time_ns() // 1000, BUS_ERROR))
        batch = batch_of(packets, internal)
        if last_is_new:  # the driver has no more
            batch = self._stamps.checked(batch, *clocks_us())
            self.report_clock(self._interface, self._stamps.fault)
        if failure:
            self._take_failure(failure, heard=messages > 0)
        else:
            self._take_silence(began_s, heard=messages > 0)
        return batch

    def _take_failure(self, error: BaseException, *, heard: bool) -> None:
        """Count a failure of the driver and read on, or end the bus after the last frames if that does not help."""
        if heard:
            self._failures.message_arrived()
        self.error_frames += 1
        text = error_text(error)
        if not isinstance(error, Exception | SystemExit):
            self._end = BusError(f"{self._interface}: the driver ended its thread: {text}.")
        elif not self._failures.may_read_on_after(error, time.monotonic()):
            self._end = _failure_while_open(self._interface, error)
        elif "read_error" not in self.details:
            fact = f"{self._interface}: {text}. Reading goes on; such errors are counted as error frames."
            self.notices.append(("warning", fact))
        self.details = {**self.details, "read_error": text}
        time.sleep(self._failures.pause_s)

    def _take_silence(self, began_s: float, *, heard: bool) -> None:
        """Take note of a read without a failure that began at `began_s`."""
        if heard:
            self._failures.message_arrived()
            return
        now_s = time.monotonic()
        error = self._failures.driver_may_be_dead(now_s)
        if error is not None:
            self._end = _failure_while_open(self._interface, error)
        elif now_s - began_s < _RECEIVE_S / 2:
            time.sleep(_PAUSE_S)

    def _append(self, message: can.Message, packets: list[bytes], internal: list[int]) -> None:
        """Append the packet of a data frame, and count every other message, also if it is malformed."""
        try:
            if message.is_error_frame or message.is_remote_frame:
                if message.is_error_frame:
                    self.error_frames += 1
                else:
                    self.remote_frames += 1
                # Stamped with their arrival: drivers that do not stamp such frames must not confuse the clock.
                if self.internal and (packed := internal_packet(message, time.time_ns() // 1000)):
                    internal.append(len(packets))
                    packets.append(packed)
            else:
                stamp_us = self._stamps.epoch_us(message.timestamp or 0.0, time.time_ns() // 1000)
                if packed := packet(message, stamp_us):
                    packets.append(packed)
                else:
                    self.error_frames += 1
        except (ValueError, TypeError, AttributeError, OverflowError):
            self.error_frames += 1


def _failure_while_open(interface: str, error: BaseException) -> BusError:
    """Return a BusError in any case: opening the bus again will show whether the failure is another one."""
    if not is_gone(error):
        return BusError(
            f"{interface}: no more frames: {error_text(error)}. Check the adapter and its wiring."
        )
    failure = driver_failure(interface, error)
    return failure if isinstance(failure, BusError) else BusError(str(failure))
