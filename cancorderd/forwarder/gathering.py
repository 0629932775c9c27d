"""The times at which the streams of the buses are read: together, so that this process wakes once for all of them.

Frames gather in their sockets meanwhile. A busy bus is read in each round without a look at whether it has frames; one
that is silent is watched by the event loop instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.forwarder.feed_streams import FeedStreams

_FIRST_BODY = 3000
"""Bytes of a body until the hub has said how long a message may be: a full bus makes about 2,000 in 10 ms."""
_PATIENT_S = 0.1
"""Time between rounds while batches wait anyway: fewer and larger ones compress better, and the hub stores them faster."""


class Gathering:
    """Rounds of reading, `gather_s` apart while there are frames to read; `on_round` is called after each. Create it in a running loop."""

    def __init__(
        self, gather_s: float, on_round: Callable[[], None], hold: Callable[[bool], None] = lambda _: None
    ) -> None:
        """`hold` is told whether all other events may wait for the next round."""
        self._loop = asyncio.get_running_loop()
        self._gather_s = gather_s
        self._on_round = on_round
        self._hold = hold
        self._hurried = False
        self.patient = False
        """Whether new batches have time, because others wait before them."""
        self.most_bytes = _FIRST_BODY
        """Bytes of a body, at most."""
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """The exception that ended the rounds. The event loop would log it and go on, with buses that nobody reads any more."""
        self._busy: list[FeedStreams] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, streams: FeedStreams) -> None:
        """Read these streams in the next round."""
        if streams not in self._busy:
            self._busy.append(streams)
        self._schedule()

    def hurry(self) -> None:
        """Begin the next round at once, because more has arrived than was read."""
        self._hurried = True

    def close(self) -> None:
        """Begin no further round."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        self._busy.clear()
        self._hold(False)

    def _round(self) -> None:
        self._timer = None
        busy, self._busy = self._busy, []
        try:
            for streams in busy:
                if streams.read():
                    self._busy.append(streams)
            self._on_round()
        except Exception as error:  # noqa: BLE001 - whoever waits for `failed` raises it
            self.close()
            self.failed.set_exception(error)
        self._schedule()

    def _schedule(self) -> None:
        self._hold(bool(self._busy) and not self.patient)
        if self._busy and self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._pause_s(), self._round)
            self._hurried = False

    def _pause_s(self) -> float:
        if self._hurried:
            return 0.0
        return max(self._gather_s, _PATIENT_S) if self.patient else self._gather_s
