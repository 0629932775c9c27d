from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from cancorderd.supervisor.event_log import EventLog
from tests.unit.supervisor.fakes import in_event_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from cancorderd.control.protocol import LoggedEvent


def emit(events: EventLog, text: str, **attributes: str) -> None:
    record = logging.makeLogRecord(
        {"msg": text, "levelno": logging.WARNING, "levelname": "WARNING", "created": 1000.5, **attributes}
    )
    events.handle(record)


async def texts(events: EventLog) -> list[str]:
    return [event["text"] async for event in events.read(follow=False) if event]


async def next_text(reader: AsyncIterator[LoggedEvent | None]) -> str:
    event = await anext(reader)
    return event["text"] if event else "none"


@in_event_loop
async def test_records_that_name_a_bus_become_events() -> None:
    events = EventLog()
    emit(events, "reload refused")
    emit(events, "waiting: unplugged", bus="body", state="waiting")
    assert [event async for event in events.read(follow=False)] == [
        {"time": 1000.5, "bus": "body", "level": "warning", "text": "waiting: unplugged"}
    ]


@in_event_loop
async def test_the_latest_500_events_are_remembered() -> None:
    events = EventLog()
    for number in range(600):
        emit(events, str(number), bus="body")
    assert await texts(events) == [str(number) for number in range(100, 600)]


@in_event_loop
async def test_a_bus_that_fails_again_and_again_pushes_out_no_events_of_other_buses() -> None:
    events = EventLog()
    emit(events, "unplugged", bus="body")
    for number in range(300):
        emit(events, f"rack {number}", bus="rack")
        emit(events, f"bench {number}", bus="bench")
    remembered = await texts(events)
    assert len(remembered) == 500
    assert remembered[0] == "unplugged"
    assert remembered[-4:] == ["rack 298", "bench 298", "rack 299", "bench 299"], "in the order of their time"


@in_event_loop
async def test_a_reader_that_follows_gets_every_new_event() -> None:
    events = EventLog()
    emit(events, "past", bus="body")
    reader = events.read(follow=True)
    assert await next_text(reader) == "past"
    asyncio.get_running_loop().call_soon(lambda: emit(events, "new", bus="body"))
    assert await next_text(reader) == "new"


@in_event_loop
async def test_a_reader_that_follows_learns_that_there_is_no_news() -> None:
    events = EventLog()
    emit(events, "past", bus="body")
    reader = events.read(follow=True, idle_s=0.001)
    assert [await next_text(reader) for _ in range(3)] == ["past", "none", "none"]
    emit(events, "new", bus="body")
    assert await next_text(reader) == "new"


@in_event_loop
async def test_a_reader_that_is_closed_is_forgotten() -> None:
    events = EventLog()
    emit(events, "past", bus="body")
    reader = cast("AsyncGenerator[LoggedEvent]", events.read(follow=True))
    await anext(reader)
    assert len(events._readers) == 1
    await reader.aclose()
    assert len(events._readers) == 0


@in_event_loop
async def test_a_slow_reader_loses_the_oldest_events() -> None:
    events = EventLog()
    emit(events, "past", bus="body")
    reader = events.read(follow=True)
    await anext(reader)
    for number in range(1500):
        emit(events, str(number), bus="body")
    assert await next_text(reader) == "500 events are missing here: the reader of events was too slow"
    assert await next_text(reader) == "500"
