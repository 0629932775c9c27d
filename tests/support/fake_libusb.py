"""Emulated gs_usb adapters behind a stand-in for libusb; pyusb and everything above it are real."""

from __future__ import annotations

import ctypes
import errno
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import usb.backend.libusb1

from tests.support.gs_usb_adapter import EmulatedGsUsb

SOURCE = Path(__file__).with_suffix(".c")
LIBUSB_ERRORS = {errno.EACCES: -3, errno.ENODEV: -4, errno.EBUSY: -6, errno.EPIPE: -9}
_CONTROL = ctypes.CFUNCTYPE(ctypes.c_int, *(5 * [ctypes.c_int]), ctypes.POINTER(ctypes.c_ubyte), ctypes.c_int)


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class FakeUsb:
    """The stand-in, loaded into pyusb, and the adapters plugged into it."""

    def __init__(self, folder: Path) -> None:
        library = folder / "libfakeusb.so"
        command = [compiler() or "cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True, timeout=60)
        self.lib = ctypes.CDLL(str(library))
        self.adapters: dict[int, FakeUsbAdapter] = {}
        self._callback = _CONTROL(self._control)
        self.lib.fake_on_control(self._callback)
        self._library = str(library)
        self.install()

    def install(self) -> None:
        """Make the stand-in pyusb's libusb, in place of another stand-in or the real library."""
        usb.backend.libusb1._lib_object = None
        assert usb.backend.libusb1.get_backend(find_library=lambda _name: self._library)

    def _control(self, number: int, *request: Any) -> int:
        *fields, data, length = request
        kind = fields[0]
        setup = struct.pack("<BBHHH", *fields, length)
        out = b"" if kind & 0x80 else bytes(data[:length])
        answer = self.adapters[number].control(setup, out)
        if answer is None:
            return LIBUSB_ERRORS[errno.EPIPE]
        if not kind & 0x80:
            return int(length)
        answer = answer[:length]
        ctypes.memmove(data, answer, len(answer))
        return len(answer)

    def close(self) -> None:
        """Unplug all adapters."""
        for adapter in self.adapters.values():
            adapter.unplug()


class FakeUsbAdapter(EmulatedGsUsb):
    """An adapter on the stand-in, whose queue gets the adapter's frames at once."""

    def __init__(self, bus: FakeUsb, port: int = 1, **about: Any) -> None:
        super().__init__(**about)
        self._bus, self._port = bus, port
        self._number: int | None = None
        self._addresses = 0
        self.modes: list[tuple[int, int]] = []
        """The MODE requests so far: (start or reset, flags)."""
        self.plug()

    def plug(self) -> None:
        self._addresses += 1
        descriptor = self.descriptor(1)
        number = self._bus.lib.fake_plug(descriptor, self._port, 10 * self._port + self._addresses)
        assert number >= 0, "the stand-in has no room for more devices"
        self._number = number
        self._bus.adapters[number] = self

    def unplug(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            self._unplugged()
            self._bus.lib.fake_unplug(number)

    @property
    def plugged(self) -> bool:
        return self._number is not None

    def _pump(self) -> None:
        while self._fifo and not self.stalled:
            record = self._fifo.popleft()
            self._bus.lib.fake_feed(self._number, record, len(record))

    def control(self, setup: bytes, data: bytes) -> bytes | None:
        answer = super().control(setup, data)
        if setup[0] == 0x41 and setup[1] == 2:
            start, flags = struct.unpack("<II", data)
            self.modes.append((start, flags))
        return answer

    def refuse(self, *, open: int = 0, claim: int = 0) -> None:  # noqa: A002
        """Let opening and claiming fail with these errno values from now on."""
        codes = (LIBUSB_ERRORS.get(open, 0), LIBUSB_ERRORS.get(claim, 0))
        self._bus.lib.fake_errors(self._number, *codes)

    def repeat(self, count: int) -> None:
        """Deliver `count` more frames by repeating those that are queued now."""
        self._bus.lib.fake_endless(self._number, count)

    @property
    def driver(self) -> bool:
        """Whether the kernel's driver holds the adapter."""
        return bool(self._bus.lib.fake_has_driver(self._number))

    @driver.setter
    def driver(self, active: bool) -> None:
        self._bus.lib.fake_driver(self._number, active)

    @property
    def held(self) -> tuple[int, int, int]:
        """How often it is open, whether it is claimed, transfers under way: all 0 after a release."""
        lib, number = self._bus.lib, self._number
        return lib.fake_open(number), lib.fake_claimed(number), lib.fake_in_flight(number)
