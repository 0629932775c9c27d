"""An event loop whose clock stands still while something is ready, and jumps to the next timer otherwise."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("the event loop waits for ever: nothing is ready, and there is no timer")
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs hours in a moment. For code that waits for nothing but timers and other tasks."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s

    def run(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run_turns(self, turns: int) -> None:
        """Let everything that is ready run, and what becomes ready by that, `turns` times."""

        async def yield_often() -> Any:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run_until_complete(yield_often())
