"""The worker's side of forwarding: sends the bus's frames to the forwarder of the machine, and never waits for it.

The forwarder is a process beside the workers and is fed like a client: a single call per batch, and a backlog beyond
which the oldest frames are dropped. The supervisor makes the socket and keeps its other end, so that the stream goes
on where it was if the forwarder is replaced.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.protocol.batch import Batch
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.worker.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

_SEND_BUFFER = 1 << 20
_CLOSE_S = 0.3
"""Time for the backlog when the worker ends."""


class ForwardFeed:
    """Stream of a bus's frames to the forwarder. Its socket is in the caller's selector, with a callback as its data.

    `fed` counts all frames for the forwarder, also those of earlier workers, whether or not it got them.
    """

    def __init__(
        self,
        sock: socket.socket,
        limit: int,
        selector: selectors.BaseSelector,
        notice: Callable[[str, str], None],
        fed: int,
    ) -> None:
        self.fed = fed
        self._socket: socket.socket | None = sock
        self._limit = limit
        self._selector = selector
        self._notice = notice
        self._backlog = Backlog(limit)
        self._watched = False
        self._behind = False
        self._dropped_at_last_tick = 0
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def feed(self, batch: Batch) -> None:
        """Send a batch to the forwarder. Never waits."""
        packets, frames, *_ = batch
        if not frames:
            return
        mark, self.fed = feed_mark(self.fed), self.fed + frames
        if self._socket is None:
            return
        data, sent = mark + packets, 0
        if not self._backlog.size:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._disconnect()
                return
        if sent < len(data):
            self._backlog.enqueue(Batch(data, frames), sent)
            self._watch()

    def tick(self) -> None:
        """Report that the forwarder falls behind. Call it once a second."""
        dropped = self._backlog.frames_dropped
        behind = dropped > self._dropped_at_last_tick
        if behind and not self._behind:
            self._notice("warning", "forwarding falls behind: the forwarder does not take the frames in time")
        self._dropped_at_last_tick, self._behind = dropped, behind

    def release(self) -> None:
        """Close the socket in a process that a driver has forked."""
        if self._socket:
            self._socket.close()

    def close(self) -> None:
        """Send the backlog within a moment, and end the stream."""
        sock, deadline_s = self._socket, time.monotonic() + _CLOSE_S
        if sock is None:
            return
        with contextlib.suppress(OSError):
            while self._backlog.size and (left_s := deadline_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                self._send_chunk(sock)
        self._disconnect()

    def _serve(self, _events: int) -> None:
        if self._socket is None:
            return
        try:
            while self._backlog.size and self._send_chunk(self._socket):
                pass
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()
        self._watch()

    def _send_chunk(self, sock: socket.socket) -> bool:
        """Send the backlog's next chunk; returns True if the socket had room for all of it."""
        with self._backlog.next_bytes() as data:
            size = len(data)
            sent = sock.send(data)
        self._backlog.mark_sent(sent)
        return sent == size

    def _watch(self) -> None:
        """Watch the socket, for writing, exactly while the backlog holds bytes."""
        wanted = self._socket is not None and bool(self._backlog.size)
        if self._socket and wanted != self._watched:
            if wanted:
                self._selector.register(self._socket, selectors.EVENT_WRITE, self._serve)
            else:
                self._selector.unregister(self._socket)
            self._watched = wanted

    def _disconnect(self) -> None:
        """Close the stream. The frames that are left count as lost: the next mark shows the jump."""
        if self._socket:
            if self._watched:
                self._selector.unregister(self._socket)
                self._watched = False
            self._socket.close()
            self._socket = None
        self._backlog = Backlog(self._limit)
