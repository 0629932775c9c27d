"""Signs that the adapter of a bus is there, from the system's own lists: nothing is opened.

A bus that failed because its adapter refused the settings is tried again when a sign appears that was not there before:
the adapter was away and is back, or another adapter has taken its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings

USB_DEVICES = "/sys/bus/usb/devices"
NETWORK_INTERFACES = "/sys/class/net"

Signs = frozenset[tuple[object, ...]]


def signs_of(settings: BusSettings) -> Signs:
    """Return what shows that the bus's adapter is there; another text or number after each replugging.

    Of a bus that names its adapter in no way known here, every USB device is a sign.
    """
    if settings.adapter_identity is None:
        return frozenset()
    channel = settings.channel
    if isinstance(channel, str) and os.path.isabs(channel):
        return _node(channel)
    if isinstance(channel, str) and settings.interface == "socketcan":
        index = _text(f"{NETWORK_INTERFACES}/{channel}/ifindex")
        return frozenset({(channel, index)} if index else ())
    devices = {os.path.basename(folder): folder for folder in glob.glob(f"{USB_DEVICES}/*")}
    port = getattr(settings, "usb_port", None)
    return frozenset(
        (place, number)
        for place, folder in devices.items()
        if (number := _text(f"{folder}/devnum"))
        and (settings.serial_number is None or _text(f"{folder}/serial") == settings.serial_number)
        and (port is None or place == port)
    )


def _node(path: str) -> Signs:
    """Return the identity of a device node, which is made anew when its device comes back."""
    try:
        node = os.stat(path)
    except OSError:
        return frozenset()
    return frozenset({(node.st_dev, node.st_ino, node.st_rdev, node.st_ctime_ns)})


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


class AdapterLook:
    """Looks at the signs of a failed bus's adapter, in a thread: a path may be on a file system that does not answer."""

    def __init__(self, back: Callable[[], None], signs: Callable[[BusSettings], Signs] = signs_of) -> None:
        """`back` is called in the event loop when a new sign has appeared since the first look."""
        self._back = back
        self._signs = signs
        self._before: Signs | None = None
        self._pending = False

    def look(self, settings: BusSettings) -> None:
        """Look once, unless the latest look still waits for the system."""
        if self._pending:
            return
        self._pending = True
        loop = asyncio.get_running_loop()

        def run() -> None:
            found = self._signs(settings)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon has ended
                loop.call_soon_threadsafe(self._note, found)

        try:
            threading.Thread(target=run, name="adapter", daemon=True).start()
        except RuntimeError:  # no thread is free: the next look may have one
            self._pending = False

    def _note(self, found: Signs) -> None:
        self._pending = False
        before, self._before = self._before, found
        if before is not None and found - before:
            self._back()
