"""The thread with a simulated driver: a queue that `read` waits on."""

from __future__ import annotations

import os
import queue
import select
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.failures import BusError
from cancorderd.adapters.read_thread import ReadThread
from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Iterator


class Driver:
    """Returns the batches that are put into its queue, and raises the exceptions."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Batch | Exception] = queue.Queue()

    def read(self) -> Batch:
        try:
            item = self.queue.get(timeout=0.5)
        except queue.Empty:
            return EMPTY_BATCH
        if isinstance(item, Exception):
            raise item
        return item

    def wake(self) -> None:
        self.queue.put(EMPTY_BATCH)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def thread(driver: Driver) -> Iterator[ReadThread]:
    thread = ReadThread(driver.read)
    thread.start()
    yield thread
    thread.stop(driver.wake, 5.0)


def readable(thread: ReadThread, patience_s: float = 10.0) -> bool:
    return bool(select.select([thread.fileno()], [], [], patience_s)[0])


def test_gathered_batches_are_collected_at_once(thread: ReadThread, driver: Driver) -> None:
    assert thread.collect() == EMPTY_BATCH
    driver.queue.put(Batch(b"one", 1))
    driver.queue.put(Batch(b"twothree", 2))
    poll(lambda: driver.queue.empty())
    collected = b""
    while len(collected) < 11:
        assert readable(thread)
        collected += thread.collect().packets
    assert collected == b"onetwothree"
    assert thread.collect() == EMPTY_BATCH
    assert not readable(thread, 0)


def test_error_is_raised_after_the_last_batches(thread: ReadThread, driver: Driver) -> None:
    driver.queue.put(Batch(b"last", 1))
    driver.queue.put(BusError("unplugged"))
    driver.queue.put(Batch(b"never", 1))
    poll(lambda: driver.queue.qsize() == 1)
    collected = b""
    with pytest.raises(BusError, match="unplugged"):
        while readable(thread):
            collected += thread.collect().packets
    assert collected == b"last"
    with pytest.raises(BusError, match="unplugged"):
        thread.collect()


def test_stop_ends_the_thread_and_closes_the_pipe(driver: Driver) -> None:
    thread = ReadThread(driver.read)
    thread.start()
    descriptor = thread.fileno()
    assert thread.stop(driver.wake, 5.0)
    assert thread.stop(driver.wake, 5.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_stop_before_the_start_closes_the_pipe(driver: Driver) -> None:
    thread = ReadThread(driver.read)
    descriptor = thread.fileno()
    assert thread.stop(driver.wake, 5.0)
    assert driver.queue.empty()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_stop_gives_up_if_the_driver_does_not_return() -> None:
    stuck: queue.Queue[Batch] = queue.Queue()
    thread = ReadThread(stuck.get)
    thread.start()
    assert thread.silent_s(time.monotonic() + 3) >= 3
    assert not thread.stop(lambda: None, 0.05)
    assert not readable(thread, 0)  # its pipe is still open
    stuck.put(EMPTY_BATCH)
    assert thread.stop(lambda: None, 5.0)


def test_driver_is_not_read_while_the_loop_collects_nothing(driver: Driver) -> None:
    thread = ReadThread(driver.read)
    thread.start()
    for _ in range(5):
        driver.queue.put(Batch(b"", 1 << 15))
    poll(lambda: driver.queue.qsize() == 2)  # two are queued, the third waits for room
    assert thread.collect().frames == 1 << 16
    poll(lambda: driver.queue.empty())
    assert thread.stop(driver.wake, 5.0)


def test_halted_thread_leaves_its_frames_and_its_pipe(driver: Driver) -> None:
    thread = ReadThread(driver.read)
    thread.start()
    driver.queue.put(Batch(b"frame", 1))
    poll(lambda: readable(thread, 0), what="a frame")
    assert thread.halt(driver.wake, 5.0)
    descriptor = thread.fileno()
    assert thread.collect() == Batch(b"frame", 1)
    assert thread.collect() == EMPTY_BATCH
    assert thread.fileno() == descriptor
    assert thread.stop(driver.wake, 5.0)


def test_driver_that_exits_is_a_bus_error_and_no_silence() -> None:
    def read() -> Batch:
        raise SystemExit("driver")

    thread = ReadThread(read)
    thread.start()
    try:
        select.select([thread.fileno()], [], [], PATIENCE_S)
        with pytest.raises(BusError, match="the driver ended its thread: driver"):
            thread.collect()
    finally:
        assert thread.stop(lambda: None, PATIENCE_S)


def test_thread_in_a_call_is_stuck_for_as_long_as_this_process_ran() -> None:
    stuck: queue.Queue[Batch] = queue.Queue()
    thread = ReadThread(stuck.get)
    thread.start()
    began_s = float(int(time.monotonic()) + 1000)  # whole seconds, whose sums are exact
    assert thread.stuck_s(began_s) == 0, "the first look begins the time"
    for second in (1.0, 2.0):
        assert thread.due(began_s + second - 0.5) == 0.5
        assert thread.stuck_s(began_s + second - 0.5) == 0, "no look is due"
        assert thread.stuck_s(began_s + second) == second
    assert thread.stuck_s(began_s + 30.0) == 0, "this process stood still, and the thread with it"
    assert thread.stuck_s(began_s + 31.0) == 1.0
    stuck.put(EMPTY_BATCH)
    assert thread.stop(lambda: None, PATIENCE_S)
