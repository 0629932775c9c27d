"""Reads a source as the worker's loop does."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from cancorderd.protocol.packets import PacketDecoder
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.adapters.base import Source
    from cancorderd.protocol.frame import Frame


def read_until(source: Source, condition: Callable[[], bool]) -> list[Frame]:
    """Read until `condition` holds; return every frame that arrived."""
    wire = PacketDecoder()
    found: list[Frame] = []

    def turn() -> bool:
        descriptor = source.fileno()
        due = source.due(time.monotonic())
        patience = 0.1 if due is None else min(0.1, max(0.0, due))
        waiting = select.poll()
        if descriptor is not None:
            waiting.register(descriptor, select.POLLIN)
        waiting.poll(1000 * patience)
        batch = source.read(time.monotonic())
        wire.receive(batch.packets)
        before = len(found)
        found.extend(wire.frames())
        assert batch.frames == len(found) - before
        return condition()

    poll(turn, what="what the test waits for")
    assert wire.pending == 0
    return found


def frames_of(source: Source, count: int, deadline_s: float = PATIENCE_S) -> list[Frame]:
    """Read at least `count` frames."""
    found: list[Frame] = []

    def enough() -> bool:
        found.extend(read_until(source, lambda: True))
        return len(found) >= count

    poll(enough, deadline_s, f"{count} frames")
    return found


def running(source: Source) -> Source:
    """Return the source when it is set up."""
    read_until(source, lambda: not source.waiting)
    return source
