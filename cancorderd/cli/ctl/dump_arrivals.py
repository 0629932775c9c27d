"""The frames of the sources of `cancorderctl dump`, as they arrive."""

from __future__ import annotations

import math
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cancorderd.cli.ctl.dump_source import DumpSource
    from cancorderd.protocol.frame import Frame


def arrivals(
    sources: Sequence[DumpSource], until_s: float = math.inf, *, silence_s: float = math.inf
) -> Iterator[list[tuple[str, Frame]]]:
    """Yield frames as they arrive, with the labels of their sources, until every source has ended.

    `until_s` is the monotonic time at which to end in any case; `silence_s` a time without any frame that passes, which
    ends them as well. Sources that are away are connected again, and those that wait are said now and then.
    """
    end_s = until_s
    until_s = min(end_s, time.monotonic() + silence_s)
    with selectors.DefaultSelector() as selector:
        for source in sources:
            if not (source.away or source.ended):
                selector.register(source.connection, selectors.EVENT_READ, source)
        while not all(source.ended for source in sources):
            now_s = time.monotonic()
            if now_s >= until_s:
                return
            wait_s = min(until_s, *(source.next_s() for source in sources)) - now_s
            for key, _ in selector.select(None if wait_s == math.inf else max(0.0, wait_s)):
                ready: DumpSource = key.data
                frames = ready.read()
                if frames is None:
                    selector.unregister(key.fileobj)
                    continue
                if frames:
                    until_s = min(end_s, time.monotonic() + silence_s)
                yield [(ready.label, frame) for frame in frames]
            _care_for(sources, selector)


def _care_for(sources: Sequence[DumpSource], selector: selectors.BaseSelector) -> None:
    """Connect those that are away again, and remind of those that wait."""
    now_s = time.monotonic()
    for source in sources:
        if source.away and source.reconnected(now_s):
            selector.register(source.connection, selectors.EVENT_READ, source)
        source.remind(now_s)
