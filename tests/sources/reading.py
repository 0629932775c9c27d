"""Reads a source as the worker's loop does."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from cancorderd.wire import PacketDecoder
from tests.harness import poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.frame import Frame
    from cancorderd.sources.base import Source


def read_until(source: Source, condition: Callable[[], bool]) -> list[Frame]:
    """Read until `condition` holds; every frame that came by then."""
    wire = PacketDecoder()
    found: list[Frame] = []

    def turn() -> bool:
        descriptor = source.fileno()
        due = source.due(time.monotonic())
        patience = 0.1 if due is None else min(0.1, max(0.0, due))
        select.select([] if descriptor is None else [descriptor], [], [], patience)
        batch = source.read(time.monotonic())
        wire.receive(batch.packets)
        before = len(found)
        found.extend(wire.frames())
        assert batch.frames == len(found) - before
        return condition()

    poll(turn, what="what the test waits for")
    assert wire.pending == 0
    return found


def frames_of(source: Source, count: int) -> list[Frame]:
    """At least `count` frames."""
    found: list[Frame] = []

    def enough() -> bool:
        found.extend(read_until(source, lambda: True))
        return len(found) >= count

    poll(enough, what=f"{count} frames")
    return found
