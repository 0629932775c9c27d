"""gs_usb adapters on this machine's USB: listed, chosen by settings, claimed.

`choose` is pure; the rest asks libusb (through pyusb and the gs_usb package) and, on Linux, sysfs, which has serial
numbers and drivers without opening a device.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import usb.core
import usb.util
from gs_usb.gs_usb import GsUsb

from cancorderd.adapters import sysfs
from cancorderd.adapters.device_permission import forbidden_reason
from cancorderd.adapters.failures import (
    OCCUPIED,
    AdapterAbsent,
    BusError,
    BusFailure,
    SettingsRefused,
    absent_reason,
    failure_of_errno,
    occupied_reason,
)
from cancorderd.adapters.gs_usb import libusb
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cancorderd.adapters.gs_usb.settings import GsUsbSettings

INTERFACE = 0
_CONTROL_MS = 1000
"""The same as in the kernel's driver; adapters answer within a few milliseconds."""
_OUT = 0x41
_IN = 0xC1
"""Vendor requests to the interface (USB 2.0, table 9-2)."""
_ENDPOINT_IN = 0x81


class UsbAdapter(NamedTuple):
    """An adapter that is plugged in, open or not."""

    device: Any
    """usb.core.Device."""
    bus: int
    address: int
    ports: tuple[int, ...]
    """Port numbers on the way through the hubs; the same as long as it is plugged in at the same place."""
    serial: str | None
    """None if it has none, or may not be asked."""
    vendor: int
    product: int

    @property
    def place(self) -> str:
        """The place in the notation of sysfs and lsusb -t."""
        return f"{self.bus}-{'.'.join(map(str, self.ports))}" if self.ports else f"{self.bus}:{self.address}"

    @property
    def node(self) -> str:
        """The device node on Linux."""
        return f"/dev/bus/usb/{self.bus:03d}/{self.address:03d}"

    def __str__(self) -> str:
        return f"gs_usb adapter {self.serial or 'without serial number'} at usb {self.place}"


def adapters() -> list[UsbAdapter]:
    """Return every gs_usb adapter, in the order of the sockets that they are plugged into: `index` counts these.

    Raises SettingsRefused if libusb is not installed, and BusError if it cannot list devices.
    """
    libusb.prepare()
    try:
        found = [_usb_adapter(device.gs_usb) for device in GsUsb.scan()]
    except usb.core.NoBackendError as error:
        raise SettingsRefused(
            "libusb is not installed. Install it: apt-get install libusb-1.0-0, or brew install libusb"
        ) from error
    except usb.core.USBError as error:
        raise BusError(f"libusb cannot list the devices: {error_text(error)}") from error
    return sorted(found, key=lambda adapter: (adapter.bus, adapter.ports, adapter.address))


def choose(found: Sequence[UsbAdapter], settings: GsUsbSettings) -> UsbAdapter:
    """Return the adapter that `settings` choose: by serial, usb_port, bus and address, or index (0 by default).

    Raises AdapterAbsent if there is none, and if several have the serial number; its reason lists the adapters that are
    there.
    """
    if settings.serial is not None:
        wanted = f"with serial number {settings.serial}"
        matching = [adapter for adapter in found if adapter.serial == settings.serial]
        if len(matching) > 1:
            raise AdapterAbsent(_repeated_serial(matching))
    elif settings.usb_port is not None:
        wanted = f"at usb {settings.usb_port}"
        matching = [adapter for adapter in found if adapter.place == settings.usb_port]
    elif settings.bus is not None or settings.address is not None:
        wanted = " ".join(
            f"{key} {value}"
            for key, value in (("at bus", settings.bus), ("at address", settings.address))
            if value is not None
        )
        matching = [
            adapter
            for adapter in found
            if settings.bus in (None, adapter.bus) and settings.address in (None, adapter.address)
        ]
    else:
        index = settings.index or 0
        wanted = f"number {index} (they count from 0)" if index else ""
        matching = list(found[index : index + 1])
    if matching:
        return matching[0]
    fact = f"there is no gs_usb adapter {wanted}".rstrip()
    if not found:
        raise AdapterAbsent(f"{fact}. Plug one in.")
    present = ", ".join(map(str, found))
    raise AdapterAbsent(
        absent_reason(f"{fact}; there are: {present}", "serial, usb_port, index, bus or address")
    )


def repeated_serials(found: Iterable[UsbAdapter]) -> set[str | None]:
    """Return the serial numbers that several adapters have; None stands for those without."""
    counts = Counter(adapter.serial for adapter in found)
    return {serial for serial, count in counts.items() if count > 1}


def _repeated_serial(adapters: Sequence[UsbAdapter]) -> str:
    places = " or ".join(f'usb_port = "{adapter.place}"' for adapter in adapters)
    return f"{len(adapters)} gs_usb adapters have the serial number {adapters[0].serial}. In place of serial, write {places}."


def usb_failure(adapter: UsbAdapter, error: usb.core.USBError) -> BusFailure:
    """Return the failure of the bus if libusb raises `error` while `adapter` is opened or set up."""
    if error.errno == errno.EPIPE:
        return SettingsRefused(f"{adapter} refuses a setting. Use another bitrate, or check its firmware.")
    if error.errno in OCCUPIED:
        reason = occupied_reason(str(adapter), "adapter")
        return BusError(f"{reason} There is one bus per adapter: use interface socketcan for both channels.")
    return failure_of_errno(
        error.errno,
        str(adapter),
        error_text(error),
        absent=f"{adapter} has just been unplugged. Plug it in again.",
        forbidden=lambda: forbidden_adapter_reason(adapter),
    )


def forbidden_adapter_reason(adapter: UsbAdapter) -> str:
    """Return which permission is missing to open `adapter`, and the udev rule that grants it."""
    rule = (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{adapter.vendor:04x}", '
        f'ATTR{{idProduct}}=="{adapter.product:04x}", GROUP="plugdev", MODE="0660"'
    )
    return f"{adapter}: {forbidden_reason(adapter.node, rule)}"


class ClaimedAdapter:
    """An open adapter whose USB interface is claimed. The owner calls `close`."""

    def __init__(self, adapter: UsbAdapter, *, detach_kernel_driver: bool) -> None:
        """Open and claim `adapter`.

        Raises SettingsRefused if a driver of the kernel holds it and may not be detached, and usb.core.USBError.
        """
        self.adapter = adapter
        self._device = adapter.device
        self._detached = False
        try:
            if _driver_active(self._device):
                self._detach_kernel_driver(allowed=detach_kernel_driver)
            self._configure()
            usb.util.claim_interface(self._device, INTERFACE)
        except BaseException:
            self.close()
            raise

    @property
    def libusb(self) -> tuple[Any, int | None, int]:
        """The library, its context and the handle of the open device, which pyusb keeps private."""
        backend, resources = self._device.backend, self._device._ctx  # noqa: SLF001
        return backend.lib, backend.ctx.value, resources.managed_open().handle.value

    def endpoint(self) -> tuple[int, int]:
        """Return address and packet size of the endpoint that frames come from."""
        interface = self._device.get_active_configuration()[(INTERFACE, 0)]
        for endpoint in interface:
            if endpoint.bmAttributes & 3 == usb.util.ENDPOINT_TYPE_BULK and endpoint.bEndpointAddress & 0x80:
                return endpoint.bEndpointAddress, endpoint.wMaxPacketSize
        return _ENDPOINT_IN, 64

    def ask(self, request: int, channel: int, size: int) -> bytes:
        """Send a request and return the answer. Raises usb.core.USBError."""
        answer = self._device.ctrl_transfer(_IN, request, channel, INTERFACE, size, _CONTROL_MS)
        return bytes(answer)

    def send(self, request: int, channel: int, data: bytes) -> None:
        """Send a request with data. Raises usb.core.USBError."""
        self._device.ctrl_transfer(_OUT, request, channel, INTERFACE, data, _CONTROL_MS)

    def close(self) -> None:
        """Release the adapter, and return it to the kernel's driver if it was detached. Safe to call twice; raises nothing."""
        with contextlib.suppress(usb.core.USBError, NotImplementedError):
            usb.util.release_interface(self._device, INTERFACE)
        if self._detached:
            self._detached = False
            with contextlib.suppress(usb.core.USBError, NotImplementedError):
                self._device.attach_kernel_driver(INTERFACE)
        with contextlib.suppress(usb.core.USBError):
            usb.util.dispose_resources(self._device)

    def _detach_kernel_driver(self, *, allowed: bool) -> None:
        if not allowed:
            raise SettingsRefused(_held_by_kernel(self.adapter))
        self._device.detach_kernel_driver(INTERFACE)
        self._detached = True

    def _configure(self) -> None:
        try:
            self._device.get_active_configuration()
        except usb.core.USBError as error:
            if error.errno is not None:
                raise
            self._device.set_configuration()  # "Configuration not set": the adapter has not been used yet


def _usb_adapter(device: Any) -> UsbAdapter:
    ports = tuple(device.port_numbers or ())
    adapter = UsbAdapter(device, device.bus, device.address, ports, None, device.idVendor, device.idProduct)
    return adapter._replace(serial=_serial(adapter))


def _serial(adapter: UsbAdapter) -> str | None:
    if os.path.isdir(sysfs.USB_DEVICES):
        return sysfs.usb_attribute(adapter.place, "serial") or None
    try:
        serial: str | None = adapter.device.serial_number
    except (usb.core.USBError, ValueError, NotImplementedError):  # ValueError: may not be opened
        return None
    finally:
        usb.util.dispose_resources(adapter.device)
    return serial


def _driver_active(device: Any) -> bool:
    """Return whether a driver of the kernel holds the device. Opens it; raises usb.core.USBError."""
    try:
        return bool(device.is_kernel_driver_active(INTERFACE))
    except NotImplementedError:  # libusb on this system cannot report it: claiming will fail
        return False


def _held_by_kernel(adapter: UsbAdapter) -> str:
    if links := sysfs.usb_network_interfaces(adapter.place, INTERFACE):
        names = " or ".join(links)
        return (
            f"{adapter} belongs to the kernel's driver as {names}. "
            f'Use interface = "socketcan", channel = "{links[0]}", or write detach_kernel_driver = true.'
        )
    drivers = sysfs.usb_drivers(adapter.place, INTERFACE)
    return (
        f"{adapter} belongs to the kernel's driver {drivers[0] if drivers else ''}".rstrip()
        + ". Unload it, or write detach_kernel_driver = true."
    )
