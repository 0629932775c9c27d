"""The streams of a bus's workers, one after another, as sockets in the event loop.

`gathering` decides when they are read; each read becomes a body. Only whole packets are taken from a socket (see
`feed_cut`).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING

from cancorderd.forwarder.feed_cut import FeedCutter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.forwarder.feed_cut import Cut
    from cancorderd.forwarder.gathering import Gathering

_READS_AT_ONCE = 8
"""Then other buses have their turn."""
_TORN_S = 2.0
"""A worker that was killed may leave a part of a packet at the end of its stream."""


class FeedStreams:
    """Reader of one bus. `on_cut` receives whole packets, `on_end` the number of a stream that was read to its end."""

    def __init__(
        self, gathering: Gathering, on_cut: Callable[[Cut], None], on_end: Callable[[int], None]
    ) -> None:
        self.cutter = FeedCutter()
        self._gathering = gathering
        self._on_cut = on_cut
        self._on_end = on_end
        self._streams: deque[tuple[int, socket.socket]] = deque()
        self._watched = -1
        self._torn_since_s: float | None = None
        self._ended = False
        """Whether all streams were read to their ends."""

    @property
    def open(self) -> bool:
        return bool(self._streams)

    def add(self, number: int, sock: socket.socket) -> None:
        """Read this stream behind those that are there."""
        sock.setblocking(False)
        self._streams.append((number, sock))
        self._ended = False
        if len(self._streams) == 1:
            self._watch()

    def read(self) -> bool:
        """Read the bytes that have arrived, at most some bodies. Returns whether more is expected soon; if not, waits for a frame."""
        frames, most_bytes = 0, self._gathering.most_bytes
        for _ in range(_READS_AT_ONCE):
            if not self._streams:
                return False
            _, sock = self._streams[0]
            try:
                data = sock.recv(most_bytes, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self._end_stream()
                continue
            cut = self.cutter.cut(data)
            if not cut.size:
                self._wait_for_rest()
                return False
            self._torn_since_s = None
            sock.recv(cut.size)
            if cut.frames:
                self._on_cut(cut)
            frames += cut.frames
            if len(data) < most_bytes // 2:
                break
        else:
            self._gathering.hurry()
        if frames > 1:
            return True
        self._watch()
        return False

    def place(self, position: int) -> None:
        """Take the position at the end of the streams: an earlier forwarder may have read all of them, and taken it along."""
        if self._ended:
            self.cutter.place(position)

    def close(self) -> None:
        self._unwatch()
        while self._streams:
            self._streams.popleft()[1].close()

    def _wait_for_rest(self) -> None:
        """Wait for the rest of a packet. If another stream follows, the part of it is given up after a while."""
        now_s = asyncio.get_running_loop().time()
        if self._torn_since_s is None:
            self._torn_since_s = now_s
        elif now_s - self._torn_since_s > _TORN_S and len(self._streams) > 1:
            self._end_stream()
        self._gathering.add(self)

    def _end_stream(self) -> None:
        self._unwatch()
        number, sock = self._streams.popleft()
        sock.close()
        self._ended = not self._streams
        self._torn_since_s = None
        self._on_end(number)

    def _watch(self) -> None:
        """Wait for the next frame."""
        if self._watched < 0 and self._streams:
            self._watched = self._streams[0][1].fileno()
            asyncio.get_running_loop().add_reader(self._watched, self._on_readable)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1

    def _on_readable(self) -> None:
        self._unwatch()
        self._gathering.add(self)
