"""The thread in which a bus is read from the hub, with an event loop of its own, and the pipe that wakes the worker's loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from cancorderd.adapters.nats.reader import HubReader

if TYPE_CHECKING:
    from cancorderd.adapters.nats.moments import Wanted
    from cancorderd.adapters.nats.position import Position
    from cancorderd.adapters.nats.reader import Item
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.failures import HubError

_MOST_HELD = 8 << 20
"""Bytes of messages that may wait for the worker's loop."""
_ITEM = 1024
"""Bytes of a message beside its body: a stream of empty messages must not fill the memory."""
_TELL_END_S = 1.0
"""Shortest interval at which a consumer is woken because the end is reached: a wanted last moment may have passed."""
_END_S = 3.0
"""Time for the connection to be closed."""


def _size(item: Item) -> int:
    return _ITEM + len(item.body)


class ReaderThread:
    """Messages of one bus, read by a thread, for one consumer."""

    def __init__(
        self, access: HubAccess, gateway: str, bus: str, wanted: Wanted, after: Position | None = None
    ) -> None:
        self.reason = f"connecting to {' or '.join(access.url)}."
        """Why no messages are read at present; empty while they are."""
        self.failure: HubError | None = None
        """The failure of the last connection that has failed."""
        self.trying = True
        """Whether the first attempt to connect is still going on."""
        self.server = ""
        """The server that is or was read from."""
        self.caught_up = False
        """Whether the end of the stream has been reached once."""
        self.pending = 0
        """Messages of the bus that are still at the hub, as far as is known."""
        self.notices: deque[tuple[str, str]] = deque()
        """Level and text of sentences for the log; the consumer takes them."""
        self.error: Exception | None = None
        """The mistake of ours that has ended the thread, if any."""
        self._items: deque[Item] = deque()
        self._held = 0
        self._lock = threading.Lock()
        self._room = asyncio.Event()
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)
        self._loop = asyncio.new_event_loop()
        self._reader = HubReader(access, gateway, bus, wanted, receiver=self, after=after)
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._end_told_s = 0.0
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has changed."""
        return self._bell

    def hush(self) -> None:
        """Make the descriptor unreadable until something changes."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)

    def ring(self) -> None:
        """Make the descriptor readable."""
        with contextlib.suppress(BlockingIOError):  # full: the loop will wake anyway
            os.write(self._ringer, b"\0")

    def begin(self) -> None:
        """Read the past from now on."""
        with contextlib.suppress(RuntimeError):  # the thread has ended
            self._loop.call_soon_threadsafe(self._reader.begin)

    @property
    def held(self) -> int:
        """Bytes of messages that have not been taken yet."""
        return self._held

    def next_item(self) -> Item | None:
        """Return the next message, or None if there is none."""
        with self._lock:
            if not self._items:
                return None
            item = self._items.popleft()
            was_full = self._held >= _MOST_HELD
            self._held -= _size(item)
            has_room = was_full and self._held < _MOST_HELD
        if has_room:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._room.set)
        return item

    def put_back(self, item: Item) -> None:
        """Make a message that was taken the next one again."""
        with self._lock:
            self._items.appendleft(item)
            self._held += _size(item)
        self.ring()

    def wait(self, patience_s: float) -> None:
        """Wait until the descriptor is readable, at most so long."""
        waiting = select.poll()
        waiting.register(self._bell, select.POLLIN)
        if waiting.poll(1000 * patience_s):
            self.hush()

    def close(self) -> None:
        """End the connection and the thread. Safe to call twice."""
        if self._bell < 0:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(_END_S)
        if self._thread.is_alive():
            return  # the pipe stays open: its descriptors must not be reused while the thread may write
        os.close(self._bell)
        os.close(self._ringer)
        self._bell = self._ringer = -1

    # The receiver of the reader, in the thread.

    async def put(self, items: list[Item], pending: int) -> None:
        size = sum(map(_size, items))
        with self._lock:
            self._items.extend(items)
            self._held += size
            full = self._held >= _MOST_HELD
            self._room.clear()
        self.pending = pending
        self.ring()
        if full:
            await self._room.wait()

    def at_end(self) -> None:
        self.pending = 0
        now_s = time.monotonic()
        if not self.caught_up or now_s - self._end_told_s >= _TELL_END_S:
            self.caught_up, self._end_told_s = True, now_s
            self.ring()

    def connected(self, server: str) -> None:
        self.reason, self.server, self.trying = "", server, False
        self.ring()

    def disconnected(self, failure: HubError) -> None:
        self.failure, self.reason, self.trying = failure, str(failure), False
        self.ring()

    def notice(self, level: str, text: str) -> None:
        self.notices.append((level, text))
        self.ring()

    def _cancel(self) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except Exception as error:  # noqa: BLE001 - the reason that the bus ends
            self.error = error
            self.ring()

    async def _main(self) -> None:
        if self._closing:
            return
        self._task = asyncio.ensure_future(self._reader.run())
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
