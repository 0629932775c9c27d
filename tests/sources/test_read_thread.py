"""The thread, with a made-up driver: a queue that `work` waits on."""

from __future__ import annotations

import os
import queue
import select
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.errors import BusError
from cancorderd.frame import NOTHING, Batch
from cancorderd.sources.read_thread import ReadThread
from tests.harness import poll

if TYPE_CHECKING:
    from collections.abc import Iterator


class Driver:
    """Delivers what is put into it; an exception is raised."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Batch | Exception] = queue.Queue()

    def work(self) -> Batch:
        try:
            item = self.queue.get(timeout=0.5)
        except queue.Empty:
            return NOTHING
        if isinstance(item, Exception):
            raise item
        return item

    def wake(self) -> None:
        self.queue.put(NOTHING)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def thread(driver: Driver) -> Iterator[ReadThread]:
    thread = ReadThread(driver.work)
    thread.start()
    yield thread
    thread.stop(driver.wake, 5.0)


def readable(thread: ReadThread, patience_s: float = 10.0) -> bool:
    return bool(select.select([thread.fileno()], [], [], patience_s)[0])


def test_what_is_gathered_is_taken_at_once(thread: ReadThread, driver: Driver) -> None:
    assert thread.take() == NOTHING
    driver.queue.put(Batch(b"one", 1))
    driver.queue.put(Batch(b"twothree", 2))
    poll(lambda: driver.queue.empty())
    taken = b""
    while len(taken) < 11:
        assert readable(thread)
        taken += thread.take().packets
    assert taken == b"onetwothree"
    assert thread.take() == NOTHING
    assert not readable(thread, 0)


def test_an_error_is_told_after_all_that_came_before(thread: ReadThread, driver: Driver) -> None:
    driver.queue.put(Batch(b"last", 1))
    driver.queue.put(BusError("unplugged"))
    driver.queue.put(Batch(b"never", 1))
    poll(lambda: driver.queue.qsize() == 1)
    taken = b""
    with pytest.raises(BusError, match="unplugged"):
        while readable(thread):
            taken += thread.take().packets
    assert taken == b"last"
    with pytest.raises(BusError, match="unplugged"):
        thread.take()


def test_stop_ends_the_thread_and_closes_the_pipe(driver: Driver) -> None:
    thread = ReadThread(driver.work)
    thread.start()
    descriptor = thread.fileno()
    assert thread.stop(driver.wake, 5.0)
    assert thread.stop(driver.wake, 5.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_stop_before_the_start_closes_the_pipe(driver: Driver) -> None:
    thread = ReadThread(driver.work)
    descriptor = thread.fileno()
    assert thread.stop(driver.wake, 5.0)
    assert driver.queue.empty()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_driver_that_does_not_return_is_told_from_one_that_does() -> None:
    stuck: queue.Queue[Batch] = queue.Queue()
    thread = ReadThread(stuck.get)
    thread.start()
    assert thread.silent_s(time.monotonic() + 3) >= 3
    assert not thread.stop(lambda: None, 0.05)
    assert not readable(thread, 0)  # and its pipe is still open
    stuck.put(NOTHING)
    assert thread.stop(lambda: None, 5.0)


def test_a_loop_that_takes_nothing_stops_the_driver_from_being_read(driver: Driver) -> None:
    thread = ReadThread(driver.work)
    thread.start()
    for _ in range(5):
        driver.queue.put(Batch(b"", 1 << 15))
    poll(lambda: driver.queue.qsize() == 2)  # two are held, the third waits for room
    assert thread.take().frames == 1 << 16
    poll(lambda: driver.queue.empty())
    assert thread.stop(driver.wake, 5.0)
