"""The state of the daemon, followed once for all pages and requests.

Each page compares numbers: it asks for what is newer than the number that it has seen, so a slow page misses old
states, and delays nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.web.daemon_link import DaemonUnreachable

if TYPE_CHECKING:
    from cancorderd.control.protocol import LoggedEvent, StatusAnswer
    from cancorderd.web.daemon_link import DaemonLink

_EVERY_S = 1.0
_AFTER_EVENT_S = 0.05
"""Delay of the state after an event: changes within this time are shown together."""
_AGAIN_S = 1.0
_REMEMBERED = 500
"""Events for a page that is opened, as many as the daemon remembers."""


class NumberedEvent(NamedTuple):
    """An event, and its number, which only grows."""

    number: int
    event: LoggedEvent


class Feed:
    """The latest status and events. Run `run` in a task; everything else returns at once, but `wait`."""

    def __init__(self, link: DaemonLink) -> None:
        self.link = link
        self.status: StatusAnswer | None = None
        """The latest status; None while the daemon does not answer."""
        self.problem = "cancorderd has not answered yet."
        """Why there is no status."""
        self.status_number = 0
        """Grows with each status, and when the daemon stops answering."""
        self.status_s = 0.0
        """Time of the latest answer, on the monotonic clock."""
        self._events: deque[NumberedEvent] = deque(maxlen=_REMEMBERED)
        self._next_number = 1
        self._past: deque[LoggedEvent] = deque(maxlen=_REMEMBERED)
        self._changed = asyncio.Event()
        self._event_arrived = asyncio.Event()

    @property
    def event_number(self) -> int:
        """Number of the latest event; 0 before the first."""
        return self._next_number - 1

    def events_after(self, number: int) -> list[NumberedEvent]:
        """Return the events with a higher number, the oldest first; at most 500."""
        if number >= self.event_number:
            return []
        return [numbered for numbered in self._events if numbered.number > number]

    async def wait(self) -> None:
        """Return at the next new status or event."""
        await self._changed.wait()

    async def run(self) -> None:
        """Follow the daemon for ever."""
        following = asyncio.create_task(self._follow_events())
        try:
            while True:
                await self._ask()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY_S):
                        await self._event_arrived.wait()
                        await asyncio.sleep(_AFTER_EVENT_S)
                self._event_arrived.clear()
        finally:
            following.cancel()

    async def _ask(self) -> None:
        try:
            self.status = await self.link.status()
            self.problem = ""
            self.status_s = time.monotonic()
        except DaemonUnreachable as error:
            self.status = None
            self.problem = str(error)
        self.status_number += 1
        self._tell()

    async def _follow_events(self) -> None:
        while True:
            # A new connection begins with the remembered events, most of which are known.
            known = {_identity(event) for event in self._past}
            with contextlib.suppress(DaemonUnreachable):
                async for event in self.link.events():
                    if _identity(event) in known:
                        continue
                    self._past.append(event)
                    self._events.append(NumberedEvent(self._next_number, event))
                    self._next_number += 1
                    self._event_arrived.set()
                    self._tell()
            await asyncio.sleep(_AGAIN_S)

    def _tell(self) -> None:
        """Wake everybody who waits at this moment."""
        self._changed.set()
        self._changed = asyncio.Event()


def _identity(event: LoggedEvent) -> tuple[float, str, str]:
    return event["time"], event["bus"], event["text"]
