"""A thread that waits in a driver which has no descriptor to select on, and the pipe that it rings.

The worker's loop never waits for a driver: it selects on the pipe and takes what was gathered. On a
busy bus the thread lets frames gather in the driver for `GATHER_S`, as the loop does.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from cancorderd.frame import NOTHING, Batch

if TYPE_CHECKING:
    from collections.abc import Callable

GATHER_S = 0.001
_MOST_HELD = 1 << 16
"""Frames that may wait for the loop; past it the driver is not read, and its own queue fills."""
_LOOK_S = 0.1
"""How soon a thread that waits for room sees that it is to stop."""


class ReadThread:
    """Calls `work` again and again, and keeps what it returns until the loop takes it.

    `work` waits for frames, for a second at most, and returns them as a batch, or an empty one. What it
    raises ends the thread, and is what `take` raises once all that came before is taken.
    """

    def __init__(self, work: Callable[[], Batch]) -> None:
        self._work = work
        self._room = threading.Condition()
        self._packets: list[bytes] = []
        self._frames = 0
        self._error: Exception | None = None
        self._stopping = False
        self._alive_s = time.monotonic()
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)

    def start(self) -> None:
        self._alive_s = time.monotonic()
        self._thread.start()

    def fileno(self) -> int:
        return self._bell

    def take(self) -> Batch:
        """All that was gathered. Raises what ended the thread, once there is nothing more."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with self._room:
            packets, self._packets = self._packets, []
            frames, self._frames = self._frames, 0
            self._room.notify()
        if packets:
            if self._error:
                self._ring()  # it is still to be told
            return Batch(b"".join(packets), frames)
        if self._error:
            raise self._error
        return NOTHING

    def silent_s(self, now_s: float) -> float:
        """For how long `work` has not returned; `now_s` is the monotonic clock."""
        return max(0.0, now_s - self._alive_s)

    def stop(self, wake: Callable[[], object], patience_s: float) -> bool:
        """End the thread; `wake` makes the driver return. False where it does not, within `patience_s`."""
        self._stopping = True
        with self._room:
            self._room.notify()
        if self._thread.ident is not None:
            wake()
            self._thread.join(patience_s)
        if self._thread.is_alive():
            return False  # and the pipe stays: its numbers must not be given away while it may ring
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
                batch = self._work()
                if batch.frames and self._deliver(batch):
                    now_s = time.monotonic()
                    if now_s - delivered_s < 2 * GATHER_S:
                        time.sleep(GATHER_S)
                    delivered_s = now_s
        except Exception as error:  # noqa: BLE001 - whatever ends the thread ends this bus, with its reason
            self._error = error
            self._ring()

    def _deliver(self, batch: Batch) -> bool:
        """Hand a batch over; False where there was no room for it until the end."""
        with self._room:
            while self._frames >= _MOST_HELD:
                if self._stopping:
                    return False
                self._alive_s = time.monotonic()
                self._room.wait(_LOOK_S)
            first = not self._packets
            self._packets.append(batch.packets)
            self._frames += batch.frames
        if first:
            self._ring()
        return True

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the loop has been rung for already
            os.write(self._ringer, b"\0")
