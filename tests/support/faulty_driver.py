"""A driver for python-can that sends numbered frames and misbehaves on order; its stage is memory that the test shares."""

from __future__ import annotations

import enum
import mmap
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tests.support.python_can_driver import driver

if TYPE_CHECKING:
    from pathlib import Path

_WORD = struct.Struct("=q")


class Word(enum.IntEnum):
    """The words of the stage, in the order of the driver."""

    NEXT = 0
    """Number of the next frame."""
    FAULT = enum.auto()
    """The `Fault` to come; 0 when it has begun."""
    RATE = enum.auto()
    """Frames per second."""
    OPEN = enum.auto()
    """1: frames are sent."""
    OPENED = enum.auto()
    """How often a bus was opened."""


class Fault(enum.IntEnum):
    RAISES_ONCE = 1
    RAISES = enum.auto()
    """At every read, until the bus is opened again."""
    EXITS = enum.auto()
    """sys.exit() at every read."""
    GONE = enum.auto()
    """The system's error of a device that is not there any more."""
    PRINTS = enum.auto()
    """More than a pipe holds, in every way."""
    STARTS_HELPERS = enum.auto()
    """Processes that keep all descriptors they get; then it raises."""
    HANGS_AT_THE_NEXT_OPENING = enum.auto()
    """Raises; the next opening never returns."""
    HANGS_AT_CLOSING = enum.auto()
    """Raises, and closing never returns."""


_MODULE = """
import ctypes, mmap, os, struct, subprocess, sys, time

import can

WORD = struct.Struct("=q")
NEXT, FAULT, RATE, OPEN, OPENED = range(5)
AGAIN = 100  # added to a fault that goes on


def now_us():
    return time.monotonic_ns() // 1000


class Bus(can.BusABC):
    def __init__(self, channel=None, **_):
        super().__init__(channel)
        with open(channel, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        if self.get(FAULT) == AGAIN + 7:
            self.set(FAULT, 0)
            time.sleep(1000)
        self.failing = None
        self.hangs_at_closing = False
        self.due_us = now_us()
        self.set(OPENED, self.get(OPENED) + 1)

    def get(self, word):
        return WORD.unpack_from(self.memory, 8 * word)[0]

    def set(self, word, value):
        WORD.pack_into(self.memory, 8 * word, value)

    def begin(self, fault):
        self.set(FAULT, AGAIN + 7 if fault == 7 else 0)
        if fault in (2, 6, 7, 8):
            self.failing = RuntimeError("the driver is broken")
        if fault == 1:
            raise ValueError("a read failed")
        if fault == 3:
            self.failing = SystemExit("the driver exits")
        if fault == 4:
            self.failing = OSError(19, "No such device")
        if fault == 5:
            for descriptor in (1, 2):
                os.write(descriptor, b"text of the driver\\n" * 5000)
            print("printed " * 10000)
            print("printed " * 10000, file=sys.stderr, flush=True)
        if fault == 6:
            subprocess.Popen(["sleep", "60"], close_fds=False)
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            if ctypes.CDLL(None).fork() == 0:
                ctypes.CDLL(None).sleep(60)
                os._exit(0)
        self.hangs_at_closing = fault == 8

    def _recv_internal(self, timeout):
        fault = self.get(FAULT)
        if fault and fault < AGAIN:
            self.begin(fault)
        if self.failing:
            raise self.failing
        end_us = now_us() + int(1e6 * (timeout or 0))
        while not self.get(OPEN) or self.due_us > now_us():
            if not self.get(OPEN):
                self.due_us = now_us()
            if now_us() >= end_us:
                return None, False
            time.sleep(0.001)
        self.due_us = max(self.due_us, now_us() - 100000) + 1000000 // self.get(RATE)
        number = self.get(NEXT)
        self.set(NEXT, number + 1)
        return can.Message(arbitration_id=0x123, data=number.to_bytes(8), is_extended_id=False), False

    def send(self, message, timeout=None):
        raise NotImplementedError

    def shutdown(self):
        super().shutdown()
        if self.hangs_at_closing:
            time.sleep(1000)
"""


class FaultyDriver:
    """The interface `own` for the programs that start during the `with` block, and its stage."""

    def __init__(self, folder: Path, rate: int) -> None:
        self._folder = folder
        self._file = folder / "driver.stage"
        self._file.write_bytes(bytes(len(Word) * _WORD.size))
        self._rate = rate
        self._stack = ExitStack()
        self._memory: mmap.mmap

    @property
    def bus(self) -> str:
        """Keys of the bus."""
        return f'interface = "own"\nchannel = "{self._file}"\n'

    def __getitem__(self, word: Word) -> int:
        return int(_WORD.unpack_from(self._memory, word * _WORD.size)[0])

    def __setitem__(self, word: Word, value: int) -> None:
        _WORD.pack_into(self._memory, word * _WORD.size, value)

    def __enter__(self) -> Self:
        with self._file.open("r+b") as file:
            self._memory = self._stack.enter_context(mmap.mmap(file.fileno(), 0))
        self[Word.RATE] = self._rate
        self._stack.enter_context(driver(self._folder, module=_MODULE))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
