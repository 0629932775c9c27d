"""Messages between the thread that reads a hub and its consumer: bounded, whatever the hub holds."""

from __future__ import annotations

import asyncio

import pytest

from cancorderd.adapters.nats.moments import span_of
from cancorderd.adapters.nats.reader import Item
from cancorderd.adapters.nats.reader_thread import ReaderThread
from cancorderd.hub.access import HubAccess
from cancorderd.hub.headers import BatchHead, BatchId

NOWHERE = HubAccess(("nats://127.0.0.1:1",))


def items(count: int, size: int) -> list[Item]:
    head = BatchHead(BatchId("00000000000000a1", 1), 0, 0, 0, 0)
    return [Item("", number, head, bytes(size)) for number in range(count)]


@pytest.mark.parametrize(("count", "size"), [(10_000, 0), (200, 64_000)])
def test_reader_waits_for_a_consumer_that_takes_nothing(count: int, size: int) -> None:
    """Messages without frames take memory, too."""
    thread = ReaderThread(NOWHERE, "truck", "body", span_of("all"))
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(thread.put(items(count, size), 0), 0.05))
    finally:
        thread.close()


def test_what_is_held_is_nothing_when_everything_was_taken() -> None:
    thread = ReaderThread(NOWHERE, "truck", "body", span_of("all"))
    try:
        asyncio.run(thread.put(items(3, 100), 0))
        assert thread.held >= 300
        taken = thread.next_item()
        assert taken
        thread.put_back(taken)
        while thread.next_item():
            pass
        assert thread.held == 0
    finally:
        thread.close()
