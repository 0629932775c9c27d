"""Processor time for reading and decoding the frames of a vendor's library and of python-can: `driver_readers NAME FRAMES FOLDER`.

The emulated TouCAN library has numbered frames as fast as they are read, and so has a driver for python-can, which makes a
Message for each as every such driver does. The measurement covers everything from there to packets (cancorderd) or to
Messages (python-can), with the thread that waits in the driver.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.gs_usb import cpu_us
from tests.support.python_can_driver import driver

if TYPE_CHECKING:
    from cancorderd.adapters.base import Source

TOUCAN, DRIVER, DRIVER_ALONE = "toucan", "driver", "driver alone"
_DRIVER = """
import time

import can


class Bus(can.BusABC):
    def __init__(self, channel=None, **_):
        super().__init__(channel)

    def _recv_internal(self, timeout):
        return can.Message(time.time(), 0x123, is_extended_id=False, data=bytes(8)), False

    def send(self, message, timeout=None):
        raise NotImplementedError
"""


def source_us(frames: int, **keys: object) -> float:
    """Return the cost of a frame that the source of a bus with these keys returns."""
    from cancorderd.adapters.registry import open_source
    from cancorderd.config.settings_json import from_json

    source = open_source(from_json(json.dumps({"name": "bench", **keys})))
    try:
        return cpu_us(lambda: read(source, frames)) / frames
    finally:
        source.close()


def read(source: Source, frames: int) -> None:
    descriptor = source.fileno()
    assert descriptor is not None, "it has a thread"
    done = 0
    while done < frames:
        select.select([descriptor], [], [], 1.0)
        done += source.read(time.monotonic()).frames


def toucan(frames: int, folder: Path) -> float:
    from tests.support.toucan_stage import Stage, Word

    with Stage(folder) as stage:
        os.environ["TOUCAN_STAGE"] = stage.file
        stage[Word.RATE] = -1
        return source_us(frames, interface="toucan", library=stage.library)


def driver_alone(frames: int) -> float:
    import can

    with can.Bus(interface="own", channel=0) as bus:

        def receive() -> None:
            for _ in range(frames):
                assert bus.recv(1.0)

        return cpu_us(receive) / frames


def measure(name: str, frames: int, folder: Path) -> float:
    """Measure one reader in this process."""
    if name == TOUCAN:
        return toucan(frames, folder)
    return driver_alone(frames) if name == DRIVER_ALONE else source_us(frames, interface="own", channel=0)


def measure_readers(frames: int) -> dict[str, float]:
    """Return the microseconds of processor time for a frame of each reader, in a process of its own."""
    found = {}
    for name in (TOUCAN, DRIVER, DRIVER_ALONE):
        with tempfile.TemporaryDirectory() as folder, driver(Path(folder), module=_DRIVER):
            command = [sys.executable, "-m", "tests.bench.driver_readers", name, str(frames), folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
        found[name] = float(done.stdout)
    return found


if __name__ == "__main__":
    print(measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
