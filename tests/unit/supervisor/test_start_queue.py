"""Workers start a few at a time, in order, and none that hangs or fails holds up the others."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.supervisor.manager import Manager
from cancorderd.supervisor.port_memory import PortMemory
from cancorderd.supervisor.start_queue import HOLD_S, StartQueue
from cancorderd.supervisor.state_machine import Event, State
from tests.support.virtual_time import VirtualTimeLoop
from tests.unit.supervisor.fakes import (
    FakeKeeper,
    FakeWorker,
    ObedientWorker,
    Workers,
    configuration,
    in_event_loop,
    mock_settings,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

_PLACES = StartQueue()._places


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop of its own, whose time passes at once."""

    @functools.wraps(test)
    def run() -> None:
        loop = VirtualTimeLoop()
        try:
            loop.run_until_complete(test())
        finally:
            loop.close()

    return run


def requested(queue: StartQueue, count: int) -> list[int]:
    """Request starts; returns the list to which each is added when it is called."""
    called: list[int] = []
    for number in range(count):
        queue.request(number, partial(called.append, number))
    return called


@in_virtual_time
async def test_starts_are_called_in_order_as_places_become_free() -> None:
    queue = StartQueue(places=2)
    called = requested(queue, 5)
    assert called == [0, 1]
    queue.started(1)
    await asyncio.sleep(0)
    assert called == [0, 1, 2]
    queue.started(1)
    await asyncio.sleep(0)
    assert called == [0, 1, 2], "a place is given up once"


@in_virtual_time
async def test_workers_that_never_report_hold_their_places_for_a_moment_only() -> None:
    queue = StartQueue(places=2)
    called = requested(queue, 5)
    await asyncio.sleep(HOLD_S - 0.1)
    assert called == [0, 1]
    await asyncio.sleep(0.2)
    assert called == [0, 1, 2, 3]


@in_virtual_time
async def test_a_start_that_was_withdrawn_is_not_called() -> None:
    queue = StartQueue(places=1)
    called = requested(queue, 3)
    assert queue.withdraw(1)
    assert not queue.withdraw(0), "it has been called"
    queue.started(0)
    await asyncio.sleep(0)
    assert called == [0, 2]


@in_virtual_time
async def test_thousands_of_starts_that_fail_do_not_call_each_other() -> None:
    queue = StartQueue(places=1)
    failed: list[int] = []

    def fail(number: int) -> None:
        failed.append(number)
        queue.started(number)

    for number in range(3000):
        queue.request(number, partial(fail, number))
    await asyncio.sleep(1)
    assert failed == list(range(3000))


class QuietWorker(ObedientWorker):
    """A worker that reports when the test says so, and ends at SIGTERM."""

    start = FakeWorker.start


@contextlib.asynccontextmanager
async def many(folder: Path) -> AsyncIterator[tuple[Manager, Workers]]:
    """Yield a manager that has started more buses than there are places, with workers that report nothing yet."""
    workers = Workers(QuietWorker)
    buses = [mock_settings(f"b{number}", port=5000 + number) for number in range(_PLACES + 2)]
    manager = Manager(
        configuration(folder, *buses),
        None,
        lambda _bus: None,
        keeper=FakeKeeper(),
        memory=PortMemory(None),
        new_worker=workers,
    )
    manager.start()
    yield manager, workers
    await manager.stop()
    assert {bus.state for bus in manager.buses.values()} == {State.STOPPED}
    assert not any(bus.reachable for bus in manager.buses.values())


@in_event_loop
async def test_every_port_is_open_and_the_workers_follow_as_others_report(tmp_path: Path) -> None:
    async with many(tmp_path) as (manager, workers):
        buses = list(manager.buses.values())
        assert all(bus.reachable and bus.state == State.STARTING for bus in buses)
        assert len(workers.made) == _PLACES
        assert buses[-1].pid is None
        workers.made[0].report()
        workers.made[1].exit(74)
        await until(lambda: len(workers.made) == _PLACES + 2)


@pytest.mark.parametrize("event", [Event.STOP, Event.RESTART])
def test_a_command_for_a_bus_that_waits_for_its_turn_is_carried_out(tmp_path: Path, event: Event) -> None:
    @in_event_loop
    async def run() -> None:
        async with many(tmp_path) as (manager, workers):
            last = list(manager.buses.values())[-1]
            last.handle(event)
            wanted = State.STOPPED if event == Event.STOP else State.STARTING
            await until(lambda: last.state == wanted)
            assert last.reachable == (event == Event.RESTART)
            for worker in list(workers.made):
                worker.report()
            await until(lambda: len(workers.made) == _PLACES + (1 if event == Event.STOP else 2))
            assert bool(workers.of(last.name)) == (event == Event.RESTART)

    run()


@in_event_loop
async def test_the_end_waits_for_no_turn(tmp_path: Path) -> None:
    async with many(tmp_path) as (_, workers):
        pass
    assert len(workers.made) == _PLACES
