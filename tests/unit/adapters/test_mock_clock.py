"""Time stamps of a mock bus in a process that is late."""

from __future__ import annotations

import time

from cancorderd.adapters import registry
from cancorderd.protocol.packets import PacketDecoder
from tests.support.settings import valid_settings


def test_stamps_do_not_go_back_when_the_loop_is_late() -> None:
    source = registry.open_source(valid_settings("mock", pattern="numbered", rate=100, start="always"))
    decoder = PacketDecoder()
    now_s = time.monotonic()
    # The time of the loop was taken 300 ms before one of the reads.
    for begun_s in (now_s, now_s + 0.1 - 0.3, now_s + 0.1):
        decoder.receive(source.read(begun_s + 0.2).packets)
    stamps = [frame.timestamp_us for frame in decoder.frames()]
    assert len(stamps) >= 20
    assert stamps == sorted(stamps)
    source.close()
