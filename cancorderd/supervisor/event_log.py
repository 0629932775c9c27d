"""Recent events: log records about buses, remembered and passed on to readers."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cancorderd.control.protocol import LoggedEvent

_REMEMBERED = 500
"""Events of all buses together. A bus that fails again and again pushes out its own, not those of the others."""
_QUEUED = 1000
"""Events that a reader may be behind; a slower reader loses the oldest, and is told how many."""


class _Reader:
    """Events for one reader."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[LoggedEvent] = asyncio.Queue(_QUEUED)
        self.dropped: Counter[str] = Counter()
        """Events of each bus that were dropped since the reader was told."""

    def put(self, event: LoggedEvent) -> None:
        if self.queue.full():
            self.dropped[self.queue.get_nowait()["bus"]] += 1
        self.queue.put_nowait(event)

    def missing(self, time_s: float) -> list[LoggedEvent]:
        """Return an event for each bus of which events were dropped."""
        dropped, self.dropped = self.dropped, Counter()
        return [
            {
                "time": time_s,
                "bus": bus,
                "level": "warning",
                "text": f"{count} events are missing here: the reader of events was too slow",
            }
            for bus, count in dropped.items()
        ]


class EventLog(logging.Handler):
    """Log handler that turns every record with the attribute `bus` into an event, unless its attribute `event` is false."""

    def __init__(self) -> None:
        super().__init__()
        self._past: dict[str, deque[tuple[int, LoggedEvent]]] = {}
        """Events of each bus, with their numbers."""
        self._numbers = itertools.count()
        self._remembered = 0
        self._readers: set[_Reader] = set()

    def emit(self, record: logging.LogRecord) -> None:
        bus = record.__dict__.get("bus")  # set by `extra`
        if bus is None or not record.__dict__.get("event", True):
            return
        event: LoggedEvent = {
            "time": record.created,
            "bus": bus,
            "level": record.levelname.lower(),
            "text": record.getMessage(),
        }
        self._remember(event)
        for reader in self._readers:
            reader.put(event)

    def _remember(self, event: LoggedEvent) -> None:
        self._past.setdefault(event["bus"], deque()).append((next(self._numbers), event))
        self._remembered += 1
        if self._remembered > _REMEMBERED:
            longest = max(self._past, key=lambda bus: len(self._past[bus]))
            self._past[longest].popleft()
            if not self._past[longest]:
                del self._past[longest]
            self._remembered -= 1

    def _in_order(self) -> list[LoggedEvent]:
        return [event for _, event in heapq.merge(*self._past.values())]

    async def read(self, *, follow: bool, idle_s: float | None = None) -> AsyncIterator[LoggedEvent | None]:
        """Yield the remembered events and, with `follow`, every new event without end; None after `idle_s` without."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            for event in self._in_order():
                yield event
            while follow:
                try:
                    async with asyncio.timeout(idle_s):
                        event = await reader.queue.get()
                except TimeoutError:
                    yield None
                else:
                    for missing in reader.missing(event["time"]):
                        yield missing
                    yield event
        finally:
            self._readers.discard(reader)
