"""The emulated slcan adapter in a thread of the test."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self

from tests.support.slcan_adapter import EmulatedSlcan

if TYPE_CHECKING:
    from pathlib import Path


class SlcanAdapter:
    """An adapter that is plugged in during the `with` block; `command` controls it (see slcan_adapter.py)."""

    def __init__(
        self, link: Path, *, rate: float = 0.0, fd: bool = False, kind: type[EmulatedSlcan] = EmulatedSlcan
    ) -> None:
        self.adapter = kind(str(link), rate, fd)
        self._link = link
        steer, self._wheel = os.pipe()
        self._steer = steer
        self._thread = threading.Thread(target=self.adapter.serve, args=(None, steer), daemon=True)

    def command(self, line: str) -> None:
        os.write(self._wheel, line.encode() + b"\n")

    def __enter__(self) -> Self:
        self.adapter.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.command("quit")
        self._thread.join()
        self.adapter.unplug()
        os.close(self._wheel)
        os.close(self._steer)
