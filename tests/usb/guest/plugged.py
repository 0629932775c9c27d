"""An emulated adapter in a process of its own, plugged into this machine's kernel, and what sysfs says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.harness import ROOT, poll

DEVICES = Path("/sys/bus/usb/devices")
PATIENCE_S = 60.0
"""Without KVM everything takes some 15 times as long."""


class Plugged:
    """`python -m tests.adapters.usbip_gs_usb` with these options."""

    def __init__(self, *options: str) -> None:
        self.serial = options[options.index("--serial") + 1] if "--serial" in options else "LAB0001"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.adapters.usbip_gs_usb", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1,
        )  # fmt: skip
        assert self.process.stdout
        assert "plugged in" in self.process.stdout.readline()
        self.wait_there()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")

    def status(self) -> dict[str, Any]:
        """Its counters and channels."""
        self.tell("status")
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def unplug(self) -> None:
        self.tell("unplug")
        poll(lambda: self.device() is None, PATIENCE_S, f"{self.serial} is gone")

    def plug(self) -> None:
        self.tell("plug")
        self.wait_there()

    def wait_there(self) -> Path:
        device = poll(self.device, PATIENCE_S, f"{self.serial} is there")
        assert device
        return device

    def device(self) -> Path | None:
        """Its folder in sysfs, once udev is through with it."""
        for file in DEVICES.glob("*/serial"):
            try:
                if file.read_text().strip() == self.serial and os.path.exists(self._node(file.parent)):
                    return file.parent
            except OSError:
                continue
        return None

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
