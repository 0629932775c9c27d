"""Opening a serial port: its speed, its owner, and the failures of pyserial as failures of a bus."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import termios
from typing import TYPE_CHECKING

import pytest
import serial

from cancorderd.adapters.failures import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.adapters.slcan import serial_port
from cancorderd.adapters.slcan.serial_port import open_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def channel() -> Iterator[str]:
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize(
    ("baudrate", "speed"), [(9600, termios.B9600), (57_600, termios.B57600), (115_200, termios.B115200)]
)
def test_port_has_the_speed_of_the_settings(channel: str, baudrate: int, speed: int) -> None:
    with contextlib.closing(open_port(channel, baudrate)) as port:
        _, _, _, _, input_speed, output_speed, _ = termios.tcgetattr(port.fileno())
    assert (input_speed, output_speed) == (speed, speed)


def test_port_neither_waits_nor_is_shared(channel: str) -> None:
    with contextlib.closing(open_port(channel, 115_200)) as port:
        assert not os.get_blocking(port.fileno())
        with pytest.raises(BusError, match=f"^{channel} is in use by another program"):
            open_port(channel, 115_200)


@pytest.mark.parametrize(
    ("channel", "kind", "reason"),
    [
        ("foo://bar", SettingsRefused, "foo://bar: "),
        (
            "/nowhere/tty",
            AdapterAbsent,
            "/nowhere/tty does not exist. Plug the adapter in, or correct channel.",
        ),
        ("/dev/null", SettingsRefused, "/dev/null is no serial port. Correct channel."),
    ],
)
def test_wrong_channel_is_explained(channel: str, kind: type[BusFailure], reason: str) -> None:
    with pytest.raises(kind) as caught:
        open_port(channel, 115_200)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOENT, AdapterAbsent, "/dev/ttyX does not exist"),
        (errno.ENODEV, AdapterAbsent, "/dev/ttyX does not exist"),
        (errno.EACCES, AdapterAbsent, "no permission for /dev/ttyX"),
        (errno.EBUSY, BusError, "/dev/ttyX is in use by another program"),
        (errno.ENOTTY, SettingsRefused, "/dev/ttyX is no serial port"),
        (errno.EINVAL, SettingsRefused, "/dev/ttyX is no serial port"),
        (errno.EIO, BusError, "/dev/ttyX: "),
        (errno.EPROTO, BusError, "/dev/ttyX: "),
    ],
)
def test_failure_of_an_error_number(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BusFailure], reason: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise serial.SerialException(number, f"could not open port: {os.strerror(number)}")

    monkeypatch.setattr(serial, "serial_for_url", fail)
    with pytest.raises(kind) as caught:
        open_port("/dev/ttyX", 115_200)
    assert str(caught.value).startswith(reason)


def without_number(text: str, context: BaseException | None = None) -> serial.SerialException:
    """Return an exception as pyserial raises it while it sets the port up: its number is in the context, if anywhere."""
    error = serial.SerialException(text)
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (without_number("Could not configure port", termios.error(25, "Inappropriate ioctl")), errno.ENOTTY),
        (without_number("Could not configure port", termios.error("no number")), None),
        (without_number("Could not exclusively lock port /dev/ttyX"), errno.EBUSY),
        (without_number("something else"), None),
    ],
    ids=["termios", "termios without a number", "lock", "neither"],
)
def test_number_behind_an_exception_without_one(error: serial.SerialException, number: int | None) -> None:
    assert serial_port.error_number(error) == number
