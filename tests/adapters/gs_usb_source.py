"""Opening the gs_usb source on an emulated adapter, and reading it as the worker does."""

from __future__ import annotations

import select
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cancorderd.sources import open_source
from cancorderd.wire import PacketDecoder
from tests.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.frame import Frame
    from cancorderd.sources.gs_usb import GsUsbSource

DEFAULTS = {
    "interface": "gs_usb", "channel": None, "serial": None, "index": None, "bus": None, "address": None,
    "bitrate": 500_000, "data_bitrate": None, "fd": False, "sample_point": None, "listen_only": False,
    "filters": (), "detach_kernel_driver": False,
}  # fmt: skip


def section(**keys: Any) -> Any:
    return SimpleNamespace(**DEFAULTS | keys)


@contextmanager
def opened(**keys: Any) -> Iterator[GsUsbSource]:
    source: Any = open_source(section(**keys))
    try:
        yield source
    finally:
        source.close()
        source.close()


def frames_of(source: GsUsbSource, count: int, deadline_s: float = PATIENCE_S) -> list[Frame]:
    """Read until `count` frames are there."""
    wire = PacketDecoder()
    found: list[Frame] = []

    def enough() -> bool:
        due = source.due(time.monotonic())
        select.select([source.fileno()], [], [], 0.1 if due is None else max(0.0, due))
        wire.receive(source.read(time.monotonic()).packets)
        found.extend(wire.frames())
        return len(found) >= count

    poll(enough, deadline_s, f"{count} frames")
    assert wire.pending == 0
    return found
