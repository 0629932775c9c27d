"""The end of a recording, which may come after its worker's: the recorder writes its backlog and closes its file.

A recorder sends its last counts to the supervisor itself (`RecordingEnd`). `RecordingWatch` waits for them until no
process holds the other end of its socket any more.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Counts, RecordingEnd

if TYPE_CHECKING:
    from collections.abc import Callable


def uncounted(life: Counts, end: RecordingEnd | None) -> Counts:
    """Return the counts that the reports of a worker lack; every frame that it received is written or dropped.

    `life` are the counts of this worker alone. A recorder may have received more frames than a killed worker
    reported: the worker received these, too.
    """
    recorded = max(life.recorded, end.frames if end else 0)
    received = max(life.received, recorded + (end.dropped if end else 0))
    whole = life._replace(received=received, recorded=recorded, unrecorded=received - recorded)
    if end:
        whole = whole._replace(
            recorded_errors=max(life.recorded_errors, end.errors),
            unrecorded_errors=max(life.unrecorded_errors, end.errors_dropped),
        )
    return whole.minus(life)


class RecordingWatch:
    """Watches the recorders of one worker. `settled` receives the uncounted frames once, after the worker's end.

    `for_worker` is the end of the socket for the worker; close it when the worker has a copy.
    """

    def __init__(self, settled: Callable[[Counts], None]) -> None:
        ours, self.for_worker = socket.socketpair()
        self._channel = Channel(ours)
        self._settled = settled
        self._end: RecordingEnd | None = None
        self._life: Counts | None = None
        """Counts of the worker, when it has ended."""
        self._closed = False
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)

    def worker_ended(self, life: Counts) -> None:
        """Take the counts of the worker, which reports no more."""
        self._life = life
        if self._closed:
            self._settled(uncounted(life, self._end))

    def _read(self) -> None:
        try:
            ends = [item.message for item in self._channel.receive()]
        except (ChannelClosed, LookupError, TypeError, ValueError):
            self._close()
            return
        for end in ends:
            if isinstance(end, RecordingEnd):
                self._end = end
                if self._life:  # the last recorder; do not wait for a process that has inherited the socket
                    self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        if self._life is not None:
            self._settled(uncounted(self._life, self._end))
