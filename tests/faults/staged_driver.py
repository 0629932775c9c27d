"""A driver for python-can that delivers numbered frames, and fails when the drill orders it to.

Its channel is the file of a `Stage`, which the drill and each process of the driver have in memory. The number of the next
frame is there, so that the frames are numbered through whatever becomes of these processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import can

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RATE = struct.Struct("<d")
_NUMBER = struct.Struct("<Q")
_RATE_AT, _SENT_AT, _ORDER_AT, _OPEN_AT, _CLOSED_AT, _UNHEARD_AT = range(0, 48, 8)
_SIZE = 48
_BUFFER_S = 2.0
"""Time for which the adapter keeps frames that are not read. On a busy machine, the rate is lower only if this is too
short; while no process reads, frames count as sent at the nominal rate."""
_ROOT = Path(__file__).resolve().parents[2]


class Stage:
    """Memory that the drill and the driver share: the adapter.

    It sends from the time at which it is opened until it is closed, also while no process reads its frames.
    """

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    @classmethod
    def new(cls, path: Path) -> Stage:
        path.write_bytes(bytes(_SIZE))
        return cls(str(path))

    @property
    def rate(self) -> float:
        return float(_RATE.unpack_from(self._memory, _RATE_AT)[0])

    def set_rate(self, rate: float) -> None:
        _RATE.pack_into(self._memory, _RATE_AT, rate)

    @property
    def sent(self) -> int:
        """Frames that `recv` has returned."""
        return int(_NUMBER.unpack_from(self._memory, _SENT_AT)[0])

    def open(self) -> None:
        """Open the adapter. If it was not closed, its frames of the meantime are sent, and lost."""
        (since_s,) = _RATE.unpack_from(self._memory, _OPEN_AT)
        if since_s:
            missed = int(self.rate * (time.monotonic() - since_s))
            _NUMBER.pack_into(self._memory, _SENT_AT, self.sent + missed)
        (closed_s,) = _RATE.unpack_from(self._memory, _CLOSED_AT)
        if closed_s:
            unheard = int(self.rate * (time.monotonic() - closed_s))
            _NUMBER.pack_into(self._memory, _UNHEARD_AT, self.unheard + unheard)
            _RATE.pack_into(self._memory, _CLOSED_AT, 0.0)

    def read_at(self, now_s: float) -> None:
        """Take note that nothing sent until now is unread."""
        _RATE.pack_into(self._memory, _OPEN_AT, now_s)

    def close(self) -> None:
        _RATE.pack_into(self._memory, _OPEN_AT, 0.0)
        _RATE.pack_into(self._memory, _CLOSED_AT, time.monotonic())

    @property
    def unheard(self) -> int:
        """Frames on the bus while the adapter was closed, and opened again."""
        return int(_NUMBER.unpack_from(self._memory, _UNHEARD_AT)[0])

    def next_number(self) -> int:
        number = self.sent
        _NUMBER.pack_into(self._memory, _SENT_AT, number + 1)
        return number

    def order(self, fault: str) -> None:
        """Order the driver to fail at its next read."""
        _NUMBER.pack_into(self._memory, _ORDER_AT, 1 + FAULT_NAMES.index(fault))

    def take_order(self) -> str:
        """Return the fault that is ordered, once; empty without an order."""
        found = int(_NUMBER.unpack_from(self._memory, _ORDER_AT)[0])
        if not found:
            return ""
        _NUMBER.pack_into(self._memory, _ORDER_AT, 0)
        return FAULT_NAMES[found - 1]


class Bus(can.BusABC):
    """A fault that is an exception is raised at each read from then on, as by a device that is gone."""

    def __init__(self, channel: str, **_: Any) -> None:
        super().__init__(channel)
        self._stage = Stage(channel)
        self._stage.open()
        self._due_s = time.monotonic()
        self._fault: Callable[[], object] | None = None

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if order := self._stage.take_order():
            self._fault = FAULTS[order]
        if self._fault is not None:
            self._fault()
        now_s = time.monotonic()
        self._stage.read_at(now_s)
        rate = self._stage.rate
        self._due_s = max(self._due_s, now_s - _BUFFER_S) if rate else now_s + 0.05
        wait_s = self._due_s - now_s
        if wait_s > (timeout or 0.0):
            time.sleep(timeout or 0.0)
            return None, False
        time.sleep(max(0.0, wait_s))
        if not rate:
            return None, False
        self._due_s += 1 / rate
        data = self._stage.next_number().to_bytes(8)
        return can.Message(arbitration_id=0x123, is_extended_id=False, data=data), False

    def shutdown(self) -> None:
        super().shutdown()
        self._stage.close()

    def send(self, msg: can.Message, timeout: float | None = None) -> NoReturn:
        raise NotImplementedError


class _StrangeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("this exception has no message")


class _ForeignError(BaseException):
    """Not an Exception."""


def _raise(error: BaseException) -> NoReturn:
    raise error


def _endless(depth: int = 0) -> int:
    return _endless(depth + 1)


_LEAK: list[bytearray] = []


def _leak() -> None:
    """Take all memory that this process gets."""
    for size in (1 << 20, 1 << 14, 1 << 8, 1):
        with contextlib.suppress(MemoryError):
            while True:
                _LEAK.append(bytearray(size))


EXCEPTIONS: dict[str, Callable[[], object]] = {
    "device gone": lambda: _raise(OSError(errno.ENODEV, "No such device")),
    "driver's own error": lambda: _raise(can.CanOperationError("bus error 0x17")),
    "bug of the driver": lambda: dict[str, int]()["missing"],
    "out of memory": lambda: _raise(MemoryError()),
    "endless recursion": _endless,
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "exit": lambda: _raise(SystemExit(3)),
    "no Exception": lambda: _raise(_ForeignError("foreign")),
    "end of an iterator": lambda: next(iter(())),
    "no message": lambda: _raise(_StrangeError()),
    "long message": lambda: _raise(RuntimeError("\x1b[2J\0\udc80\n" + 5_000_000 * "x")),
    "generator's end": lambda: _raise(GeneratorExit()),
}
FAULTS: dict[str, Callable[[], object]] = {
    **EXCEPTIONS,
    "stuck": lambda: ctypes.CDLL(None).sleep(3600),
    "stuck with the interpreter's lock": lambda: ctypes.PyDLL(None).sleep(3600),
    "leak": _leak,
    "crash": lambda: ctypes.string_at(0),
    "end of the process": lambda: os._exit(0),
}
FAULT_NAMES = list(FAULTS)


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install the interface `staged` for the programs that start meanwhile."""
    info = folder / "driver" / "staged_driver-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: staged-driver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[can.interface]\nstaged = tests.faults.staged_driver:Bus\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(info.parent), str(_ROOT), before]))
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
