"""A thread that waits in a driver that has no descriptor, and a pipe that wakes the worker's loop.

The loop never waits for a driver: it selects on the pipe and collects the frames that the thread has read. On a
busy bus the thread lets frames gather in the driver for `GATHER_S`, as the loop does.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import BusError
from cancorderd.printable import error_text
from cancorderd.protocol.batch import EMPTY_BATCH, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.protocol.batch import Batch

GATHER_S = 0.001
_MOST_HELD = 1 << 16
"""Frames that may wait for the loop. Beyond that the driver is not read, and its own queue fills."""
_LATE_S = 0.5
"""Delay of such a look beyond which this process stood still, the thread included: its time starts over."""
_LOOK_S = 0.1
"""How soon a thread that waits for room notices that it has to stop."""


class ReadThread:
    """Calls `read` again and again, and keeps its batches until the loop collects them.

    `read` waits for frames, for a second at most, and returns a batch, which may be empty. If it raises, the thread
    ends, and `collect` raises the same exception after the last frames have been collected.
    """

    def __init__(self, read: Callable[[], Batch], look_every_s: float = 1.0) -> None:
        """`look_every_s` is the interval at which `stuck_s` looks whether the thread is stuck in the driver."""
        self._read = read
        self._look_every_s = look_every_s
        self._room = threading.Condition()
        self._batches: list[Batch] = []
        self._frames = 0
        """Frames in these batches, with remote and error frames."""
        self._error: Exception | None = None
        self._stopping = False
        self._alive_s = time.monotonic()
        self._next_look_s = self._watched_from_s = 0.0
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)

    def start(self) -> None:
        self._alive_s = time.monotonic()
        self._thread.start()

    def fileno(self) -> int:
        return self._bell

    def collect(self) -> Batch:
        """Return everything read so far. When there is nothing left, raises the exception that ended the thread."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with self._room:
            batches, self._batches = self._batches, []
            self._frames = 0
            self._room.notify()
        if batches:
            if self._error:
                self._ring()  # the loop has to call again to get the exception
            return joined(batches)
        if self._error:
            raise self._error
        return EMPTY_BATCH

    def silent_s(self, now_s: float) -> float:
        """Return for how long `read` has not returned; `now_s` is the monotonic clock."""
        return max(0.0, now_s - self._alive_s)

    def due(self, now_s: float) -> float:
        """Return in how many seconds `stuck_s` looks again."""
        return max(0.0, self._next_look_s - now_s)

    def stuck_s(self, now_s: float) -> float:
        """Return for how long `read` has not returned while this process ran; 0 if no look is due."""
        if now_s < self._next_look_s:
            return 0.0
        if now_s - self._next_look_s > _LATE_S:
            self._watched_from_s = now_s
        self._next_look_s = now_s + self._look_every_s
        return min(self.silent_s(now_s), now_s - self._watched_from_s)

    def halt(self, wake: Callable[[], object], patience_s: float) -> bool:
        """End the thread; `wake` makes the driver return. Returns False if it does not within `patience_s`.

        `collect` returns the frames that are left.
        """
        self._stopping = True
        with self._room:
            self._room.notify()
        if self._thread.is_alive():
            wake()
            self._thread.join(patience_s)
        return not self._thread.is_alive()

    def stop(self, wake: Callable[[], object], patience_s: float) -> bool:
        """End the thread as `halt` does, and close the pipe if that was possible."""
        if not self.halt(wake, patience_s):
            return False  # the pipe stays open: its descriptors must not be reused while the thread may write
        if self._bell >= 0:
            os.close(self._bell)
            os.close(self._ringer)
            self._bell = self._ringer = -1
        return True

    def _run(self) -> None:
        delivered_s = 0.0
        try:
            while not self._stopping:
                self._alive_s = time.monotonic()
                batch = self._read()
                if (batch.frames or batch.internal) and self._deliver(batch):
                    now_s = time.monotonic()
                    if now_s - delivered_s < 2 * GATHER_S:
                        time.sleep(GATHER_S)
                    delivered_s = now_s
        except Exception as error:  # noqa: BLE001 - every exception ends this bus, and is its reason
            self._error = error
            self._ring()
        except BaseException as error:  # noqa: BLE001 - a driver's sys.exit() would end the thread unnoticed
            self._error = BusError(f"the driver ended its thread: {error_text(error)}.")
            self._ring()

    def _deliver(self, batch: Batch) -> bool:
        """Queue a batch for the loop; return False if the thread was stopped before there was room for it."""
        with self._room:
            while self._frames >= _MOST_HELD:
                if self._stopping:
                    return False
                self._alive_s = time.monotonic()
                self._room.wait(_LOOK_S)
            first = not self._batches
            self._batches.append(batch)
            self._frames += batch.frames + batch.internal
        if first:
            self._ring()
        return True

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the loop will wake anyway
            os.write(self._ringer, b"\0")


def returned_within(patience_s: float, call: Callable[[], object]) -> bool:
    """Call a driver's function in a thread, and return whether it has returned in time; its exceptions are forgotten.

    A driver that hangs while it is closed must not keep the worker from giving its clients back.
    """

    def forgetful() -> None:
        with contextlib.suppress(BaseException):
            call()

    thread = threading.Thread(target=forgetful, name="close", daemon=True)
    thread.start()
    thread.join(patience_s)
    return not thread.is_alive()
