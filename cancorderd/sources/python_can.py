"""Any other interface, through python-can: its driver, its threads, its Message objects.

The slowest way in, and the one with the most adapters. A thread waits in the driver's `recv` and packs what comes
(`read_thread`), so that the worker's loop never waits for a driver.
"""

from __future__ import annotations

import contextlib
import errno
import struct
import time
from typing import TYPE_CHECKING, Any

import can

from cancorderd.errors import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.frame import BRS, ESI, EXTENDED, FD, Batch
from cancorderd.sources import permission
from cancorderd.sources.base import Counted
from cancorderd.sources.read_thread import ReadThread
from cancorderd.sources.stamps import EpochStamps
from cancorderd.wire import HEADER

if TYPE_CHECKING:
    from cancorderd.config.model import PythonCanBus

_RECEIVE_S = 0.2
"""How long one `recv` may wait: as long as `close` may take. Some drivers cannot wait for ever."""
_MOST_AT_ONCE = 500
"""Frames that are packed before the loop gets them."""


def packet(message: can.Message, timestamp_us: int) -> bytes:
    """The wire packet of a data frame."""
    flags = EXTENDED if message.is_extended_id else 0
    if message.is_fd:
        flags |= FD | (BRS if message.bitrate_switch else 0) | (ESI if message.error_state_indicator else 0)
    data = bytes(message.data)
    return HEADER.pack(timestamp_us, message.arbitration_id, flags, len(data)) + data


def driver_arguments(section: PythonCanBus) -> dict[str, Any]:
    """What `can.Bus` gets. `options` come last: they override what the section's own keys say."""
    arguments: dict[str, Any] = {"interface": section.interface, "bitrate": section.bitrate}
    if section.channel is not None:
        arguments["channel"] = section.channel
    if section.fd:
        arguments |= {"fd": True, "data_bitrate": section.data_bitrate}
    if section.filters:
        arguments["can_filters"] = [can_filter(one) for one in section.filters]
    if section.interface == "ecuconnect":
        arguments["reconnect"] = (
            False  # a server that is gone is this bus's failure, and `status` shall show it
        )
    return arguments | section.options


def can_filter(one: Any) -> dict[str, Any]:
    """One filter in python-can's form, which has no key for "both kinds of id" but its absence."""
    rule = {"can_id": one.id, "can_mask": one.mask}
    return rule if one.extended is None else rule | {"extended": one.extended}


def failure(interface: str, error: BaseException) -> BusFailure:
    """Our class for what a driver raised, with the remedy where one is known."""
    number = getattr(error, "errno", None) or getattr(error, "error_code", None)
    text = str(error).rstrip(".") or type(error).__name__
    if _driver_is_missing(error, number):
        return SettingsRefused(
            f"interface {interface} is not usable here: {text}. Install its driver and the Python package that "
            "it needs (python-can's manual names them), or choose another interface."
        )
    if number in (errno.EACCES, errno.EPERM):
        path = getattr(error, "filename", None)
        return AdapterAbsent(
            permission.remedy(path) if path else f"no permission: {text}. Check udev rules and groups."
        )
    if number in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return AdapterAbsent(f"{text}. Plug the adapter in, or correct channel.")
    if isinstance(error, ValueError | TypeError):
        return SettingsRefused(f"{interface}: {text}. Correct channel, bitrate or options.")
    return BusError(f"{interface}: {text}")


def _driver_is_missing(error: BaseException, number: int | None) -> bool:
    """True for the ways in which python-can's interfaces say so; some do by a bare OSError or NameError."""
    if isinstance(error, can.CanInterfaceNotImplementedError | ImportError | NameError):
        return True
    return isinstance(error, OSError) and number is None and "library" in str(error)


def _open_bus(section: PythonCanBus) -> can.BusABC:
    arguments = driver_arguments(section)
    if section.prefer_fd:
        with contextlib.suppress(Exception):  # drivers without CAN FD refuse the very word
            return can.Bus(**{"fd": True, **arguments})
    return can.Bus(**arguments)


def open_source(section: PythonCanBus) -> PythonCanSource:
    return PythonCanSource(section)


class PythonCanSource(Counted):
    """A can.Bus and the thread that reads it."""

    def __init__(self, section: PythonCanBus) -> None:
        super().__init__()
        self._interface = section.interface
        try:
            self._bus = _open_bus(section)
        except Exception as error:
            raise failure(section.interface, error) from error
        self._stamps = EpochStamps()
        self._thread = ReadThread(self._receive)
        self._thread.start()

    def fileno(self) -> int:
        return self._thread.fileno()

    def read(self, now_s: float) -> Batch:  # noqa: ARG002
        return self._thread.take()

    def close(self) -> None:
        self._thread.stop(lambda: None, 4 * _RECEIVE_S)
        with contextlib.suppress(Exception):
            self._bus.shutdown()

    def _receive(self) -> Batch:
        """Wait for a frame, and take with it those that the driver has already."""
        packets: list[bytes] = []
        patience_s = _RECEIVE_S
        try:
            while len(packets) < _MOST_AT_ONCE and (message := self._bus.recv(patience_s)) is not None:
                self._take(message, packets)
                patience_s = 0.0
        except Exception as error:
            if packets:  # what came before is passed on; the driver fails again at the next call
                return Batch(b"".join(packets), len(packets))
            raise _ended(self._interface, error) from error
        return Batch(b"".join(packets), len(packets))

    def _take(self, message: can.Message, packets: list[bytes]) -> None:
        if message.is_error_frame:
            self.error_frames += 1
        elif message.is_remote_frame:
            self.remote_frames += 1
        else:
            try:
                packets.append(
                    packet(message, self._stamps.epoch_us(message.timestamp, time.time_ns() // 1000))
                )
            except struct.error:
                self.error_frames += 1


def _ended(interface: str, error: BaseException) -> BusFailure:
    """A bus that was open fails for now, whatever opening it again will say."""
    reason = failure(interface, error)
    return reason if isinstance(reason, BusError) else BusError(str(reason))
