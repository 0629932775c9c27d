"""Processor time of reading and decoding gs_usb frames: cancorderd's source beside python-can's reader.

    python -m tests.bench.gs_usb [FRAMES]

Underneath both is the same stand-in for libusb, which hands over 8-byte frames with time stamps at no
cost worth mentioning: what is measured is all above libusb, from the filled transfer to wire packets
(cancorderd) or Message objects (python-can). What libusb and the kernel take comes on top of both.
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

import psutil

from tests.adapters.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.adapters.gs_usb_adapter import EFF, frame

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_BUS = 9_009
"""Frames/s of a 1 Mbit/s bus: 8 bytes, standard id, no stuffing."""
LIMIT_US = 50.0
PER_WAKE = {"cancorderd, 9 frames a wake-up (full bus)": 9, "cancorderd, 1 frame a wake-up": 1}
PYTHON_CAN = "python-can's reader"


def load(adapter: FakeUsbAdapter) -> None:
    """What the adapter repeats: 500 different frames on 50 ids, every fifth of them extended."""
    for number in range(500):
        can_id = 0x100 + number % 50 | (EFF if number % 5 == 0 else 0)
        adapter.receive(frame(can_id, struct.pack(">Q", number)))


def ours(adapter: FakeUsbAdapter, frames: int, per_wake: int) -> float:
    from tests.adapters.gs_usb_source import opened

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


def one(name: str, frames: int, folder: str) -> dict[str, Any]:
    """Measure one reader in this process."""
    adapter = FakeUsbAdapter(FakeUsb(Path(folder)))
    measure = python_cans if name == PYTHON_CAN else ours
    us = measure(adapter, frames, PER_WAKE.get(name, 1))
    return {"us": us, "memory": psutil.Process().memory_info().rss / 1e6}


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        print(json.dumps(one(arguments[1], int(arguments[2]), arguments[3])))
        return 0
    frames = int(arguments[0]) if arguments else 100_000
    print(f"{frames} frames each; the limit is {LIMIT_US:g} µs a frame\n")
    print(f"{'':44}{'µs a frame':>12}{'of a processor, full 1 Mbit/s bus':>36}{'memory, MB':>12}")
    worst = 0.0
    for name in (*PER_WAKE, PYTHON_CAN):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.bench.gs_usb", "--one", name, str(frames), folder]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
        found = json.loads(answer.stdout)
        print(f"{name:44}{found['us']:12.1f}{found['us'] * FULL_BUS / 1e4:34.1f} %{found['memory']:12.1f}")
        if name in PER_WAKE:
            worst = max(worst, found["us"])
    return 0 if worst <= LIMIT_US else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
