"""The end of tasks that use nats-py, which now and then takes a cancellation for itself and goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

CANCEL_AGAIN_S = 1.0
"""Longer than an end in order takes, which another cancellation would interrupt."""


async def end_tasks(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all of them have ended.

    nats-py's `Client._flush_pending` catches CancelledError, and so does `asyncio.wait_for` up to Python 3.11 at the moment
    of its result.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
