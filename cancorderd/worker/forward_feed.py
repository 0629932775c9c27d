"""The worker's side of forwarding: sends the bus's frames to the forwarder of the machine, and never waits for it.

The supervisor makes the socket and keeps its other end, so that the stream goes on where it was if the forwarder is
replaced.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from cancorderd.protocol.batch import Batch
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.worker.feed_socket import FeedSocket

if TYPE_CHECKING:
    import selectors
    import socket
    from collections.abc import Callable

_CLOSE_S = 0.3
"""Time for the backlog when the worker ends."""


class ForwardFeed:
    """Stream of a bus's frames to the forwarder.

    `fed` counts all frames for the forwarder, also those of earlier workers, whether or not it got them: the mark before
    each batch holds it, so that a jump between two marks is what was dropped.
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
        self._notice = notice
        self._socket = FeedSocket(limit, selector, self._end)
        self._socket.open(sock)

    def feed(self, batch: Batch) -> None:
        """Send a batch to the forwarder. Never waits."""
        packets, frames, *_ = batch
        if not frames:
            return
        mark = feed_mark(self.fed, len(packets), frames)
        self.fed += frames
        if self._socket.socket and not self._socket.send(Batch(mark + packets, frames)):
            self._end()

    def tick(self) -> None:
        """Report that the forwarder falls behind. Call it once a second."""
        if self._socket.falls_behind():
            self._notice("warning", "forwarding falls behind: the forwarder does not take the frames in time")

    def release(self) -> None:
        """Close the socket in a process that a driver has forked."""
        self._socket.release()

    def close(self) -> None:
        """Send the backlog within a moment, and end the stream."""
        with contextlib.suppress(OSError):
            self._socket.send_rest(time.monotonic() + _CLOSE_S)
        self._end()

    def _end(self) -> None:
        self._socket.close()
