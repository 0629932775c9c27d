"""A CAN controller for User-Mode Linux: the kernel's slcan driver on an emulated adapter (SLCAN, tty_ldisc)."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.slcan_adapter import EmulatedSlcan

_TIOCSETD = 0x5423
_SIOCGIFNAME = 0x8910
_N_SLCAN = 17


@contextmanager
def slcan_link(folder: Path) -> Iterator[tuple[str, EmulatedSlcan]]:
    """Create an interface; yield its name and the adapter behind it."""
    subprocess.run(["modprobe", "slcan"], check=True)
    with SlcanAdapter(folder / "tty") as plugged:
        terminal = os.open(folder / "tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, _TIOCSETD, struct.pack("i", _N_SLCAN))
            name = fcntl.ioctl(terminal, _SIOCGIFNAME, bytes(64)).split(b"\0")[0].decode()
            yield name, plugged.adapter
        finally:
            os.close(terminal)
