from __future__ import annotations

import gc
import os
import select
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.read_ahead import ReadAhead
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Iterator


def everything(log: ReadAhead[int], count: int) -> list[int]:
    """Take items as the loop does: sleep on the descriptor when there is none."""
    found: list[int] = []
    end_s = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < end_s:
        log.hush()
        while (item := log.next_item()) is not None:
            found.append(item)
        if len(found) < count:
            select.select([log.fileno()], [], [], PATIENCE_S)
    return found


def test_every_item_comes_in_order_and_none_is_waited_for_in_vain() -> None:
    log = ReadAhead(lambda _ending: iter(range(30_000)))
    begin_s = time.monotonic()
    assert everything(log, 30_000) == list(range(30_000))
    assert time.monotonic() - begin_s < PATIENCE_S, "no wake-up was lost"
    assert log.next_item() is None
    log.close()


def test_thread_makes_few_items_ahead_and_goes_on_when_they_are_taken() -> None:
    made: list[int] = []

    def items(_ending: threading.Event) -> Iterator[int]:
        for number in range(5000):
            made.append(number)
            yield number

    log = ReadAhead(items)
    poll(lambda: len(made) >= 1000, what="items ahead")
    for _ in range(100):
        assert len(made) == 1000
    assert everything(log, 5000) == list(range(5000))
    log.close()


def test_error_comes_behind_the_last_item_and_once() -> None:
    def items(_ending: threading.Event) -> Iterator[int]:
        yield 1
        raise ValueError("the end")

    log = ReadAhead(items)
    assert log.wait(PATIENCE_S)
    assert log.next_item() == 1
    with pytest.raises(ValueError, match="the end"):
        poll(lambda: log.next_item() is not None, what="the error")
    assert log.next_item() is None
    log.close()


def test_close_ends_a_thread_that_waits_for_room_and_leaves_one_that_hangs() -> None:
    gc.collect()  # descriptors that earlier tests have left
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    log = ReadAhead(lambda _ending: iter(range(5000)))
    assert log.wait(PATIENCE_S)
    log.close()
    log.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert not set(threading.enumerate()) - threads

    answer = threading.Event()

    def hanging(_ending: threading.Event) -> Iterator[int]:
        answer.wait(PATIENCE_S)
        yield 1

    hung = ReadAhead(hanging)
    hung.close()
    assert len(set(threading.enumerate()) - threads) == 1
    answer.set()
    poll(lambda: not set(threading.enumerate()) - threads, what="the end of the thread")
    hung.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
