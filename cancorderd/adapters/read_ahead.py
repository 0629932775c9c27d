"""A thread that fetches the items of an iterator before they are needed, and a pipe that wakes the worker's loop.

The iterator may wait for as long as it likes, such as for a file system that does not answer: the loop goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_MOST_HELD = 1000
"""Items that may wait for the loop: some tenths of a second of a full bus, far more than a read of the disk takes."""
_FEW = _MOST_HELD // 2
"""Items below which the thread goes on after it had no room, so that it sleeps seldom."""
_END_S = 0.5
"""How long `close` waits for the thread. One that a file system holds is left behind; it ends with the process."""


class ReadAhead(Generic[T]):
    """Items of an iterator that a thread makes and exhausts, for one consumer.

    A lock for each item would cost more than the item: the deque needs none, and the condition is for waiting alone.
    """

    def __init__(self, make: Callable[[threading.Event], Iterator[T]]) -> None:
        """`make` runs in the thread. The event that it gets is set when the thread has to end."""
        self._make = make
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._hungry = True
        """Whether the consumer has found nothing, and has to be woken."""
        self._full = False
        """Whether the thread waits for room."""
        self._ending = threading.Event()
        self._over = False
        self._error: Exception | None = None
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `next_item` has something after it had nothing."""
        return self._bell

    def wait(self, patience_s: float) -> bool:
        """Wait for an item or the end; return whether there is one by now."""
        self._hungry = True
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._items) or self._over, patience_s)

    def hush(self) -> None:
        """Make the descriptor unreadable until there is something new."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)

    def next_item(self) -> T | None:
        """Return the next item, or None if there is none yet. Behind the last, raises what ended the iterator, once."""
        if not self._items:
            self._hungry = True
            over = self._over
            if not self._items:  # none has come before the thread could see this
                if over and self._error is not None:
                    error, self._error = self._error, None
                    raise error
                return None
        item = self._items.popleft()
        if self._full and len(self._items) <= _FEW:
            with self._changed:
                self._changed.notify()
        return item

    def close(self) -> None:
        """End the thread. Safe to call twice."""
        self._ending.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(_END_S)
        if self._thread.is_alive() or self._bell < 0:
            return  # the pipe stays open: its descriptors must not be reused while the thread may write
        os.close(self._bell)
        os.close(self._ringer)
        self._bell = self._ringer = -1

    def _run(self) -> None:
        items = self._make(self._ending)
        try:
            for item in items:
                self._items.append(item)
                if self._hungry:
                    self._hungry = False
                    self._wake()
                if len(self._items) >= _MOST_HELD:
                    self._wait_for_room()
                if self._ending.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - raised behind the last item
            self._error = error
        finally:
            with contextlib.suppress(Exception):
                getattr(items, "close", lambda: None)()  # a file that the iterator has open
            self._over = True
            self._wake()

    def _wait_for_room(self) -> None:
        with self._changed:
            self._full = True
            self._changed.wait_for(lambda: len(self._items) <= _FEW or self._ending.is_set())
            self._full = False

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()
        with contextlib.suppress(BlockingIOError):  # full: the loop will wake anyway
            os.write(self._ringer, b"\0")
