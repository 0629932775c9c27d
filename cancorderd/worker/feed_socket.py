"""The socket by which a worker feeds a process beside it (recorder, forwarder), like a client that it never waits for.

A single call per batch, and a backlog beyond which the oldest frames are dropped.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.worker.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.protocol.batch import Batch

_SEND_BUFFER = 1 << 20


class FeedSocket:
    """Nothing is sent until `open`, and after `close` until the next `open`.

    The socket is in the caller's selector, with a callback as its data: for writing exactly while the backlog holds
    bytes, and for reading if there is a reader of answers.
    """

    def __init__(
        self,
        limit: int,
        selector: selectors.BaseSelector,
        on_end: Callable[[], None],
        on_readable: Callable[[], bool] | None = None,
    ) -> None:
        """`limit` is that of the backlog in bytes.

        `on_end` is called when the other end is gone and should call `close`; `on_readable` returns False at the end of
        the answers.
        """
        self.socket: socket.socket | None = None
        self.backlog = Backlog(limit)
        self._limit = limit
        self._selector = selector
        self._on_end = on_end
        self._on_readable = on_readable
        self._watched = 0
        """Events for which the selector watches the socket."""
        self._dropped_at_last_look = 0
        self._behind = False

    def open(self, sock: socket.socket) -> None:
        """Feed this socket from now on."""
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket = sock
        self.backlog, self._dropped_at_last_look = Backlog(self._limit), 0
        self._watch()

    def send(self, batch: Batch) -> bool:
        """Send a batch, or keep what the socket does not take at once; returns False if the other end is gone."""
        if self.socket is None:
            return False
        backlog, packets, sent = self.backlog, batch.packets, 0
        if not backlog.size:
            try:
                sent = self.socket.send(packets)
            except BlockingIOError:
                pass
            except OSError:
                return False
        if sent == len(packets):
            backlog.frames_sent += batch.frames
            backlog.internal_sent += batch.internal
        else:
            backlog.enqueue(batch, sent)
            self._watch()
        return True

    def falls_behind(self) -> bool:
        """Return whether frames have been dropped since the last call, and none before it. Call it regularly."""
        dropped = self.backlog.frames_dropped
        behind = dropped > self._dropped_at_last_look
        newly = behind and not self._behind
        self._dropped_at_last_look, self._behind = dropped, behind
        return newly

    def send_rest(self, deadline_s: float) -> None:
        """Send the backlog until this time on the monotonic clock. Raises OSError, and the socket may block then."""
        while self.socket and self.backlog.size and (left_s := deadline_s - time.monotonic()) > 0:
            self.socket.settimeout(left_s)
            self._send_chunk(self.socket)

    def release(self) -> None:
        """Close the socket in a process that a driver has forked; otherwise the other end would see no end."""
        if self.socket:
            self.socket.close()

    def close(self) -> None:
        """End the stream. What the backlog holds is not sent, and forgotten."""
        self.backlog, self._dropped_at_last_look = Backlog(self._limit), 0
        if self.socket:
            if self._watched:
                self._selector.unregister(self.socket)
                self._watched = 0
            self.socket.close()
            self.socket = None

    def _serve(self, events: int) -> None:
        if events & selectors.EVENT_READ and self._on_readable and not self._on_readable():
            self._on_end()
        if events & selectors.EVENT_WRITE and self.socket:
            try:
                while self.backlog.size and self._send_chunk(self.socket):
                    pass
            except BlockingIOError:
                pass
            except OSError:
                self._on_end()
            self._watch()

    def _send_chunk(self, sock: socket.socket) -> bool:
        """Send the backlog's next chunk; returns True if the socket had room for all of it."""
        with self.backlog.next_bytes() as data:
            size = len(data)
            sent = sock.send(data)
        self.backlog.mark_sent(sent)
        return sent == size

    def _watch(self) -> None:
        if self.socket is None:
            return
        wanted = selectors.EVENT_READ if self._on_readable else 0
        if self.backlog.size:
            wanted |= selectors.EVENT_WRITE
        if wanted == self._watched:
            return
        if not self._watched:
            self._selector.register(self.socket, wanted, self._serve)
        elif wanted:
            self._selector.modify(self.socket, wanted, self._serve)
        else:
            self._selector.unregister(self.socket)
        self._watched = wanted
