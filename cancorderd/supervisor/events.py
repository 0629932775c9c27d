"""What happened lately: the log's records about buses, remembered and passed on as they come."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_REMEMBERED = 500
_QUEUED = 1000
"""Events that a reader may be behind; one that is slower loses the oldest."""


class EventLog(logging.Handler):
    """A log handler: records that name a bus become events."""

    def __init__(self) -> None:
        super().__init__()
        self._past: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._readers: set[asyncio.Queue[dict[str, Any]]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        bus = getattr(record, "bus", None)
        if bus is None:
            return
        event = {
            "time": record.created,
            "bus": bus,
            "level": record.levelname.lower(),
            "text": record.getMessage(),
        }
        self._past.append(event)
        for queue in self._readers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def read(self, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """Events so far and, with `follow`, all that come."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUED)
        self._readers.add(queue)
        try:
            for event in list(self._past):
                yield event
            while follow:
                yield await queue.get()
        finally:
            self._readers.discard(queue)
