"""gs_usb adapters on this machine's USB: which there are, which one is meant, who holds it.

`choose` and `failure` are pure; the rest asks libusb (through pyusb and the gs_usb package) and, on
Linux, sysfs, which tells serial numbers and drivers without opening a device.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import usb.core
import usb.util
from gs_usb.gs_usb import GsUsb

from cancorderd.errors import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.sources import permission

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSFS = "/sys/bus/usb/devices"
INTERFACE = 0
_CONTROL_MS = 1000
"""As the kernel's driver; adapters answer within a few milliseconds."""
_OUT = 0x41
_IN = 0xC1
"""Vendor requests to the interface (USB 2.0, table 9-2)."""
_ENDPOINT_IN = 0x81


class Adapter(NamedTuple):
    """An adapter that is plugged in, opened or not."""

    device: Any
    """usb.core.Device."""
    bus: int
    address: int
    ports: tuple[int, ...]
    """The way through the hubs: stays as long as it is plugged in at the same place."""
    serial: str | None
    """None where it has none, or may not be asked."""
    vendor: int
    product: int

    @property
    def place(self) -> str:
        """As sysfs and lsusb -t write it."""
        return f"{self.bus}-{'.'.join(map(str, self.ports))}" if self.ports else f"{self.bus}:{self.address}"

    def __str__(self) -> str:
        return f"gs_usb adapter {self.serial or 'without serial number'} at usb {self.place}"


class Choice(Protocol):
    """Which adapter a section means: the first of these that it says something about."""

    serial: str | None
    bus: int | None
    address: int | None
    index: int | None


def adapters() -> list[Adapter]:
    """Every gs_usb adapter, in the order of the sockets that they are plugged into: `index` counts these.

    Raises SettingsRefused where libusb is not installed.
    """
    try:
        found = [_described(one.gs_usb) for one in GsUsb.scan()]
    except usb.core.NoBackendError as error:
        raise SettingsRefused(
            "libusb is not installed. Install it: apt-get install libusb-1.0-0, or brew install libusb"
        ) from error
    except usb.core.USBError as error:
        raise BusError(f"libusb cannot list the devices: {error}") from error
    return sorted(found, key=lambda one: (one.bus, one.ports, one.address))


def choose(found: Sequence[Adapter], section: Choice) -> Adapter:
    """The one that `section` means: by serial, by bus and address, or by index (0 where nothing is said).

    Raises AdapterAbsent, which names what is there instead.
    """
    if section.serial is not None:
        wanted = f"with serial number {section.serial}"
        matching = [one for one in found if one.serial == section.serial]
    elif section.bus is not None or section.address is not None:
        wanted = " ".join(
            f"{key} {value}"
            for key, value in (("at bus", section.bus), ("at address", section.address))
            if value is not None
        )
        matching = [
            one for one in found if section.bus in (None, one.bus) and section.address in (None, one.address)
        ]
    else:
        index = section.index or 0
        wanted = f"number {index} (they count from 0)" if index else ""
        matching = list(found[index : index + 1])
    if matching:
        return matching[0]
    there = "; there are: " + ", ".join(map(str, found)) if found else ""
    remedy = "Plug it in, or correct serial, index, bus or address." if found else "Plug one in."
    raise AdapterAbsent(f"there is no gs_usb adapter {wanted}".rstrip() + f"{there}. {remedy}")


def failure(adapter: Adapter, error: BaseException) -> BusFailure:
    """Our class for what libusb said while `adapter` was opened or set up."""
    match getattr(error, "errno", None):
        case errno.EACCES | errno.EPERM:
            rule = (
                f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{adapter.vendor:04x}", '
                f'ATTR{{idProduct}}=="{adapter.product:04x}", GROUP="plugdev", MODE="0660"'
            )
            node = f"/dev/bus/usb/{adapter.bus:03d}/{adapter.address:03d}"
            return AdapterAbsent(f"{adapter}: {permission.remedy(node, rule)}")
        case errno.ENODEV | errno.ENXIO | errno.ENOENT:
            return AdapterAbsent(f"{adapter} has just been unplugged. Plug it in again.")
        case errno.EBUSY:
            return BusError(
                f"{adapter} is in use by another program. End that program, or choose another adapter."
            )
        case errno.EPIPE:
            return SettingsRefused(
                f"{adapter} refuses a setting. Use another bitrate, or check its firmware."
            )
    return BusError(f"{adapter}: {error}")


class OpenAdapter:
    """An adapter whose interface is ours. Whoever opened it calls `close`."""

    def __init__(self, adapter: Adapter, *, detach_kernel_driver: bool) -> None:
        """Raises SettingsRefused where a driver of the kernel holds it, or usb.core.USBError."""
        self.adapter = adapter
        self._device = adapter.device
        self._detached = False
        try:
            if _driver_active(self._device):
                self._take_from_kernel(allowed=detach_kernel_driver)
            self._configure()
            usb.util.claim_interface(self._device, INTERFACE)
        except BaseException:
            self.close()
            raise

    @property
    def libusb(self) -> tuple[Any, int | None, int]:
        """The library, its context and the open device: what `usb_stream` needs and pyusb does not lend."""
        backend, resources = self._device.backend, self._device._ctx  # noqa: SLF001
        return backend.lib, backend.ctx.value, resources.managed_open().handle.value

    def endpoint(self) -> tuple[int, int]:
        """Address and packet size of the endpoint that frames come from."""
        interface = self._device.get_active_configuration()[(INTERFACE, 0)]
        for one in interface:
            if one.bmAttributes & 3 == usb.util.ENDPOINT_TYPE_BULK and one.bEndpointAddress & 0x80:
                return one.bEndpointAddress, one.wMaxPacketSize
        return _ENDPOINT_IN, 64

    def ask(self, request: int, channel: int, size: int) -> bytes:
        """The answer to a request. Raises usb.core.USBError."""
        answer = self._device.ctrl_transfer(_IN, request, channel, INTERFACE, size, _CONTROL_MS)
        return bytes(answer)

    def tell(self, request: int, channel: int, data: bytes) -> None:
        """Raises usb.core.USBError."""
        self._device.ctrl_transfer(_OUT, request, channel, INTERFACE, data, _CONTROL_MS)

    def close(self) -> None:
        """Give it back, to the kernel where it came from there. Safe to call twice; raises nothing."""
        with contextlib.suppress(usb.core.USBError, NotImplementedError):
            usb.util.release_interface(self._device, INTERFACE)
        if self._detached:
            self._detached = False
            with contextlib.suppress(usb.core.USBError, NotImplementedError):
                self._device.attach_kernel_driver(INTERFACE)
        with contextlib.suppress(usb.core.USBError):
            usb.util.dispose_resources(self._device)

    def _take_from_kernel(self, *, allowed: bool) -> None:
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
            self._device.set_configuration()  # "Configuration not set": nobody has used it yet


def _described(device: Any) -> Adapter:
    ports = tuple(device.port_numbers or ())
    adapter = Adapter(device, device.bus, device.address, ports, None, device.idVendor, device.idProduct)
    return adapter._replace(serial=_serial(adapter))


def _serial(adapter: Adapter) -> str | None:
    try:
        with open(f"{SYSFS}/{adapter.place}/serial", encoding="utf-8") as file:
            return file.read().strip() or None
    except OSError:
        pass  # not Linux, or it has none
    if os.path.isdir(SYSFS):
        return None
    try:
        serial: str | None = adapter.device.serial_number
    except (usb.core.USBError, ValueError, NotImplementedError):  # ValueError: may not be opened
        return None
    finally:
        usb.util.dispose_resources(adapter.device)
    return serial


def _driver_active(device: Any) -> bool:
    """Does a driver of the kernel hold it? Opens the device: raises usb.core.USBError."""
    try:
        return bool(device.is_kernel_driver_active(INTERFACE))
    except NotImplementedError:  # libusb on this system cannot tell: claiming will
        return False


def _held_by_kernel(adapter: Adapter) -> str:
    interface = f"{SYSFS}/{adapter.place}:*.{INTERFACE}"
    if links := sorted(map(os.path.basename, glob.glob(f"{interface}/net/*"))):
        names = " or ".join(links)
        return (
            f"{adapter} belongs to the kernel's driver as {names}. "
            f'Use interface = "socketcan", channel = "{links[0]}", or write detach_kernel_driver = true.'
        )
    drivers = [os.path.basename(os.path.realpath(one)) for one in glob.glob(f"{interface}/driver")]
    return (
        f"{adapter} belongs to the kernel's driver {drivers[0] if drivers else ''}".rstrip()
        + ". Unload it, or write detach_kernel_driver = true."
    )
