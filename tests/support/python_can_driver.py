"""A driver for python-can that the test writes, in a package of its own on PYTHONPATH."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODULE = """
import os
import subprocess
import time

import can


class Bus(can.BusABC):
    \"\"\"Delivers a frame every 10 ms.\"\"\"

    def __init__(self, channel=None, **_):
        super().__init__(channel)
        self.number = 0
        OPEN

    def _recv_internal(self, timeout):
        time.sleep(min(0.01, timeout or 0.01))
        self.number += 1
        return can.Message(arbitration_id=1, data=self.number.to_bytes(8)), False

    def send(self, message, timeout=None):
        raise NotImplementedError
"""


@contextlib.contextmanager
def driver(folder: Path, on_open: str = "pass", *, module: str = _MODULE) -> Iterator[None]:
    """Install the interface `own` for the programs that start meanwhile; `on_open` runs when a bus is opened.

    `module` is the text of another driver.
    """
    folder = folder / "driver"
    info = folder / "own_driver-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-driver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[can.interface]\nown = own_driver:Bus\n")
    (folder / "own_driver.py").write_text(module.replace("OPEN", on_open) if module is _MODULE else module)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
