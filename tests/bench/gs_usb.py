"""Processor time for reading and decoding gs_usb frames: cancorderd's source and python-can's reader.

Both use the same fake of libusb, which delivers 8-byte frames with time stamps at negligible cost. The
measurement covers everything above libusb, from the filled transfer to packets (cancorderd) or Message
objects (python-can); the time of libusb and the kernel is not included.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.support.gs_usb_adapter import EFF, frame

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = 100_000
FULL, QUIET = "9 frames a wake", "1 frame a wake"
PER_WAKE = {FULL: 9, QUIET: 1}
PYTHON_CAN = "python-can's reader"


def load(adapter: FakeUsbAdapter) -> None:
    """Load the frames that the adapter repeats: 500 frames on 50 ids, every fifth extended."""
    for number in range(500):
        can_id = 0x100 + number % 50 | (EFF if number % 5 == 0 else 0)
        adapter.receive(frame(can_id, struct.pack(">Q", number)))


def ours(adapter: FakeUsbAdapter, frames: int, per_wake: int) -> float:
    from tests.support.gs_usb_source import opened

    with opened() as source:
        load(adapter)
        descriptor = source.fileno()

        def read() -> None:
            done = 0
            while done < frames:
                adapter.repeat(per_wake)
                select.select([descriptor], [], [])
                done += source.read(time.monotonic()).frames

        return cpu_us(read) / frames


def python_cans(adapter: FakeUsbAdapter, frames: int, _per_wake: int) -> float:
    import can

    with can.Bus(interface="gs_usb", channel=0, index=0, bitrate=500_000) as bus:
        load(adapter)

        def read() -> None:
            for _ in range(frames):
                adapter.repeat(1)
                assert bus.recv(1.0)

        return cpu_us(read) / frames


def cpu_us(work: Callable[[], None]) -> float:
    started = time.process_time_ns()
    work()
    return (time.process_time_ns() - started) / 1000


def measure(name: str, frames: int, folder: str) -> dict[str, Any]:
    """Measure one reader in this process."""
    adapter = FakeUsbAdapter(FakeUsb(Path(folder)))
    read = python_cans if name == PYTHON_CAN else ours
    return {"us": read(adapter, frames, PER_WAKE.get(name, 1))}


def measure_readers(frames: int = FRAMES) -> dict[str, float]:
    """Return the microseconds of processor time for a frame of each reader, in a process of its own."""
    found = {}
    for name in (*PER_WAKE, PYTHON_CAN):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.bench.gs_usb", name, str(frames), folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
        found[name] = json.loads(done.stdout)["us"]
    return found


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
