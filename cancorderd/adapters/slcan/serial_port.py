"""Serial ports: found by serial number, opened through pyserial, their errors as failures of a bus."""

from __future__ import annotations

import errno
import os
import termios
from typing import TYPE_CHECKING

import serial
from serial.tools.list_ports import comports

from cancorderd.adapters.device_permission import forbidden_reason
from cancorderd.adapters.failures import (
    AdapterAbsent,
    BusFailure,
    SettingsRefused,
    absent_reason,
    failure_of_errno,
)
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo


def port_with_serial(number: str) -> str:
    """Return the serial port of the USB adapter with this serial number, the first if it has several.

    Raises AdapterAbsent if there is none, and if several adapters have the number.
    """
    found = [port for port in comports() if port.serial_number == number]
    if len({usb_socket(port) for port in found}) > 1:
        names = " or ".join(port.device for port in found)
        raise AdapterAbsent(
            f"several adapters have the serial number {number}: {names}. In place of serial, write the channel that "
            "cancorderctl detect lists."
        )
    if not found:
        others = sorted({port.serial_number for port in comports() if port.serial_number})
        present = ", ".join(others) or "none"
        raise AdapterAbsent(
            absent_reason(f"no serial port has the serial number {number} (there are: {present})", "serial")
        )
    return str(found[0].device)


def usb_socket(port: ListPortInfo) -> str:
    """Return the USB socket of a serial port, which is the same for all ports of an adapter."""
    location = port.location or port.device
    return str(location).partition(":")[0]


def open_port(channel: str, tty_baudrate: int) -> serial.Serial:
    """Open a port for one program alone, with reads and writes that never wait. Raises BusFailure."""
    try:
        port = serial.serial_for_url(
            channel, baudrate=tty_baudrate, timeout=0, write_timeout=0, exclusive=True
        )
    except serial.SerialException as error:
        raise _opening_failure(channel, error) from error
    except ValueError as error:
        raise SettingsRefused(f"{channel}: {error_text(error)}") from error
    os.set_blocking(port.fileno(), False)
    return port


def error_number(error: Exception) -> int | None:
    """Return the system's error number behind an exception, which pyserial may keep as text alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error.__context__, termios.error):
        number = error.__context__.args[0]
        return number if isinstance(number, int) else None
    return errno.EBUSY if "lock" in error_text(error) else None


def _opening_failure(channel: str, error: OSError) -> BusFailure:
    number = error_number(error)
    if number in (errno.ENOTTY, errno.EINVAL):
        return SettingsRefused(f"{channel} is no serial port. Correct channel.")
    return failure_of_errno(
        number,
        channel,
        error_text(error),
        absent=absent_reason(f"{channel} does not exist"),
        forbidden=lambda: forbidden_reason(channel),
        alternative="channel",
    )
