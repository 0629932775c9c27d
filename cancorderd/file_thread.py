"""Calls that may wait for a file system, in a thread that holds up neither its owner nor the end of the process.

A file system that does not answer (a network file system whose server is gone) blocks a call for ever, and nothing
interrupts it. Waiting for an answer may have a limit. It is one of waiting: the time in which the thread computes, or
is ready to and gets no processor, does not count, so a slow or busy machine is not taken for a dead file system.
"""

from __future__ import annotations

import _thread
import asyncio
import errno
import os
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class NoAnswer(Exception):
    """The file system has not answered in time. The call goes on, and its result may be asked for again."""


class FileCall(Generic[T]):
    """A call that a `FileThread` makes, and its result."""

    def __init__(self, call: Callable[[], T], owner: FileThread) -> None:
        self._call = call
        self._owner = owner
        self.withdrawn = False
        self._result: Future[T] = Future()
        # Nobody who gives up cancels it: a call in the kernel cannot be stopped.
        self._result.set_running_or_notify_cancel()
        self._requested_s = time.monotonic()
        self._thread: int | None = None
        """Id of the thread, when the call has begun."""
        self._busy_before_s = 0.0

    @property
    def done(self) -> bool:
        return self._result.done()

    def wait(self, within_s: float) -> T:
        """Return the result of the call, or raise its exception. Raises NoAnswer after `within_s`."""
        while not self.done:
            wait([self._result], self._left_s(within_s))
        return self._result.result()

    async def answer(self, within_s: float | None) -> T:
        """As `wait`, in an event loop, which goes on meanwhile; without a limit if `within_s` is None."""
        result = asyncio.wrap_future(self._result)
        while not result.done():
            await asyncio.wait([result], timeout=None if within_s is None else self._left_s(within_s))
        return result.result()

    def withdraw(self) -> bool:
        """Forget a call that has not begun, perhaps since its thread could not; returns whether it had not."""
        self.withdrawn = self.withdrawn or self._owner.withdraw(self)
        return self.withdrawn

    def waited_s(self) -> float:
        """Return the time since the request, without that in which the thread was busy with this call."""
        busy_s = _busy_s(self._thread) - self._busy_before_s if self._thread else 0.0
        return time.monotonic() - self._requested_s - max(0.0, busy_s)

    def _left_s(self, within_s: float) -> float:
        left_s = within_s - self.waited_s()
        if left_s <= 0:
            raise NoAnswer
        return left_s

    def run(self) -> None:
        """Make the call, in the thread."""
        try:
            thread = threading.get_native_id()
            self._busy_before_s = _busy_s(thread)
            self._thread = thread
            self._result.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            self._result.set_exception(error)


class FileThread:
    """Makes calls one after another, in a daemon thread that exists as long as there are calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[FileCall[Any]] = deque()
        self._number = 0
        """Number of the latest thread, the only one that makes calls."""
        self._runs = False
        """Whether that thread has begun, and has not ended."""

    def submit(self, call: Callable[[], T]) -> FileCall[T]:
        """Let the thread make a call after the earlier ones. Raises OSError if the system allows no thread."""
        requested = FileCall(call, self)
        with self._lock:
            self._waiting.append(requested)
            if not self._runs:
                self._number += 1
                try:
                    # Not threading.Thread, whose `start` waits for ever for a thread that has no memory to begin.
                    _thread.start_new_thread(self._run, (self._number,))
                except (RuntimeError, MemoryError) as error:
                    self._waiting.remove(requested)
                    raise OSError(errno.EAGAIN, "no further thread is allowed") from error
        return requested

    def withdraw(self, requested: FileCall[Any]) -> bool:
        with self._lock:
            if requested not in self._waiting:
                return False
            self._waiting.remove(requested)
            return True

    def _run(self, number: int) -> None:
        while True:
            with self._lock:
                if number != self._number:
                    return
                self._runs = bool(self._waiting)
                if not self._runs:
                    return
                requested = self._waiting.popleft()
            requested.run()


def _busy_s(thread: int) -> float:
    """Return the time in which a thread has computed or waited for a processor; 0 if the system has no such figure."""
    try:
        with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
            computed_ns, ready_ns = file.read().split()[:2]
        return (int(computed_ns) + int(ready_ns)) / 1e9
    except (OSError, ValueError):
        return _processor_s(thread)


def _processor_s(thread: int) -> float:
    """Return the processor time alone, for a kernel without CONFIG_SCHED_INFO (proc(5), /proc/pid/task/tid/stat)."""
    try:
        with open(f"/proc/self/task/{thread}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
