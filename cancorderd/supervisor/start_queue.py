"""Workers that are to start at once start a few at a time.

Two hundred Pythons at once leave the supervisor a hundredth of a processor, so that nothing answers for minutes, and no
worker gets far within the time that it has. A few at a time are ready as soon in sum, and the first ones at once.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_FEWEST_PLACES = 8
"""Most gateways have fewer buses; theirs do not wait for each other."""
HOLD_S = 2.0
"""Time after which a worker that has not reported yet leaves its place: a driver that hangs holds nobody up."""


class StartQueue:
    """Calls the starts that are requested in their order, as soon as there is a place. Create it in a running loop."""

    def __init__(self, places: int | None = None) -> None:
        self._places = places or max(_FEWEST_PLACES, 2 * (os.cpu_count() or 1))
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._starting: dict[Hashable, asyncio.TimerHandle] = {}
        """The ends of the time for which each may have its place."""

    def request(self, who: Hashable, start: Callable[[], None]) -> None:
        """Call `start`, now or when its turn comes."""
        self._waiting[who] = start
        self._continue()

    def withdraw(self, who: Hashable) -> bool:
        """Forget a request; returns whether it was still waiting."""
        return self._waiting.pop(who, None) is not None

    def started(self, who: Hashable) -> None:
        """Give the place of a worker that has reported, or ended, to the next one."""
        if timer := self._starting.pop(who, None):
            timer.cancel()
            # Not here: where one start after another fails, each would be called by the one before.
            asyncio.get_running_loop().call_soon(self._continue)

    def _continue(self) -> None:
        while self._waiting and len(self._starting) < self._places:
            who, start = next(iter(self._waiting.items()))
            del self._waiting[who]
            if earlier := self._starting.pop(who, None):
                earlier.cancel()
            self._starting[who] = asyncio.get_running_loop().call_later(HOLD_S, self.started, who)
            start()
