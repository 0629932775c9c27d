"""An emulated adapter in a process of its own, plugged into this machine's kernel, and its entry in sysfs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from cancorderd.adapters.gs_usb.usb_devices import adapters
from tests.support.harness import PATIENCE_S, ROOT, poll

DEVICES = Path("/sys/bus/usb/devices")


class Plugged:
    """The process of `python -m tests.support.usbip_gs_usb` with these options."""

    def __init__(self, *options: str) -> None:
        self.serial = options[options.index("--serial") + 1] if "--serial" in options else "LAB0001"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.usbip_gs_usb", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1,
        )  # fmt: skip
        assert self.process.stdout
        assert "plugged in" in self.process.stdout.readline()
        self.wait_there()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")

    def status(self) -> dict[str, Any]:
        """Return the counters and channels of the adapter."""
        self.tell("status")
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def unplug(self) -> None:
        self.tell("unplug")
        poll(lambda: self.device() is None, what=f"{self.serial} is gone")

    def plug(self) -> None:
        self.tell("plug")
        self.wait_there()

    def wait_there(self) -> Path:
        """Wait until the adapter's node exists and libusb, which follows udev in a thread, lists it."""
        device = poll(self.device, what=f"{self.serial} is there")
        assert device
        node = self._node(device)
        poll(lambda: node in [adapter.node for adapter in adapters()], what=f"libusb lists {self.serial}")
        return device

    def device(self) -> Path | None:
        """Return the adapter's folder in sysfs, or None until udev has created its node."""
        for file in DEVICES.glob("*/serial"):
            try:
                if file.read_text().strip() == self.serial and os.path.exists(self._node(file.parent)):
                    return file.parent
            except OSError:
                continue
        return None

    def links(self) -> list[str]:
        """Return the names of the network interfaces that the kernel's driver has created."""
        return [link.name for link in self.wait_there().glob("*:1.0/net/*")]

    def wait_link(self) -> str:
        return poll(self.links, what=f"an interface of {self.serial}")[0]

    def node(self) -> str:
        return self._node(self.wait_there())

    @staticmethod
    def _node(device: Path) -> str:
        bus, address = (int((device / name).read_text()) for name in ("busnum", "devnum"))
        return f"/dev/bus/usb/{bus:03}/{address:03}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tell("quit")
        self.process.communicate(timeout=PATIENCE_S)


Plug = Callable[..., Plugged]
