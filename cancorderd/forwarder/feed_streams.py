"""The streams of a bus's workers, one after another, as sockets in the event loop.

Frames gather in the socket for `gather_s`, so that this process wakes for many at once; each read becomes a body. Only
whole packets are taken from a socket (see `feed_cut`).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING

from cancorderd.forwarder.feed_cut import FeedCutter
from cancorderd.hub.headers import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.forwarder.feed_cut import Cut

_READS_AT_ONCE = 8
"""Then other buses have their turn."""
_TORN_AGAIN_S = 0.05
_TORN_READS = 40
"""A worker that was killed may leave a part of a packet at the end of its stream."""


class FeedStreams:
    """Reader of one bus. `on_cut` receives whole packets, `on_end` the number of a stream that was read to its end."""

    def __init__(self, gather_s: float, on_cut: Callable[[Cut], None], on_end: Callable[[int], None]) -> None:
        self.most_bytes = MAX_BODY
        """Bytes of a body, at most."""
        self.cutter = FeedCutter()
        self._gather_s = gather_s
        self._on_cut = on_cut
        self._on_end = on_end
        self._streams: deque[tuple[int, socket.socket]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._watched = -1
        self._torn_reads = 0

    @property
    def open(self) -> bool:
        return bool(self._streams)

    def add(self, number: int, sock: socket.socket) -> None:
        """Read this stream behind those that are there."""
        sock.setblocking(False)
        self._streams.append((number, sock))
        if len(self._streams) == 1:
            self._watch()

    def read(self) -> bool:
        """Read what has arrived, at most some bodies; returns whether more may be there."""
        self._timer = None
        for _ in range(_READS_AT_ONCE):
            if not self._streams:
                return False
            _, sock = self._streams[0]
            try:
                data = sock.recv(self.most_bytes, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                self._watch()
                return False
            except OSError:
                data = b""
            if not data:
                self._end_stream()
                continue
            if not self._take(sock, data):
                return False
        self._schedule(0.0)
        return True

    def close(self) -> None:
        self._unwatch()
        if self._timer:
            self._timer.cancel()
        while self._streams:
            self._streams.popleft()[1].close()

    def _take(self, sock: socket.socket, data: bytes) -> bool:
        """Take the whole packets; returns whether to read on at once."""
        cut = self.cutter.cut(data)
        if not cut.size:
            self._torn_reads += 1
            if self._torn_reads > _TORN_READS and len(self._streams) > 1:
                self._end_stream()
                return True
            self._schedule(_TORN_AGAIN_S)
            return False
        self._torn_reads = 0
        sock.recv(cut.size)
        if cut.frames:
            self._on_cut(cut)
        if len(data) < self.most_bytes // 2:
            self._watch()
            return False
        return True

    def _end_stream(self) -> None:
        self._unwatch()
        number, sock = self._streams.popleft()
        sock.close()
        self._torn_reads = 0
        self._on_end(number)
        if self._streams:
            self._watch()

    def _watch(self) -> None:
        """Wait for the next frame."""
        sock = self._streams[0][1]
        if self._watched < 0:
            self._watched = sock.fileno()
            asyncio.get_running_loop().add_reader(self._watched, self._on_readable)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1

    def _on_readable(self) -> None:
        self._unwatch()
        self._schedule(self._gather_s)

    def _schedule(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.read)
